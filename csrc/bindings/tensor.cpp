#include "bindings/tensor.hpp"

#include <pybind11/stl.h>

#include "base/errors.hpp"

namespace py = pybind11;

namespace streamsed::bindings {
namespace {

// Of dlpack.h, version 0.8: the layout that a capsule named "dltensor" has.
struct DlDevice {
  std::int32_t type;
  std::int32_t id;
};
struct DlDataType {
  std::uint8_t code;
  std::uint8_t bits;
  std::uint16_t lanes;
};
struct DlTensor {
  void* data;
  DlDevice device;
  std::int32_t dimensions;
  DlDataType dtype;
  std::int64_t* shape;
  std::int64_t* strides;
  std::uint64_t byte_offset;
};
struct DlManagedTensor {
  DlTensor tensor;
  void* context;
  void (*deleter)(DlManagedTensor*);
};
constexpr int kDlCpu = 1;
constexpr int kDlCuda = 2;
constexpr int kDlCudaHost = 3;
constexpr int kDlCudaManaged = 13;
constexpr int kDlFloat = 2;

constexpr const char* kFloatTensor = "a float32 array or tensor in the memory of the CPU or of a CUDA device";

std::vector<std::int64_t> packed_strides(const std::vector<std::int64_t>& shape) {
  std::vector<std::int64_t> strides(shape.size(), 1);
  for (std::size_t i = shape.size(); i-- > 1;) strides[i - 1] = strides[i] * shape[i];
  return strides;
}

std::string type_of(const py::object& object) { return py::str(py::type::of(object)).cast<std::string>(); }

Memory memory_of(int device, const char* parameter) {
  switch (device) {
    case kDlCpu:
      return Memory::host;
    case kDlCudaHost:
      return Memory::pinned;
    case kDlCuda:
    case kDlCudaManaged:
      return Memory::device;
    default:
      fail_config(parameter, kFloatTensor, detail::concat("DLPack device type ", device));
  }
}

Tensor from_dlpack(const py::object& object, const char* parameter) {
  const auto device = object.attr("__dlpack_device__")().cast<py::tuple>();
  Tensor out;
  out.memory = memory_of(py::int_(device[0]).cast<int>(), parameter);
  // 1 is the legacy default stream: the producer lets it wait for whatever it has queued.
  const py::object capsule =
      out.memory == Memory::device ? object.attr("__dlpack__")(py::arg("stream") = 1) : object.attr("__dlpack__")();
  auto* managed = static_cast<DlManagedTensor*>(PyCapsule_GetPointer(capsule.ptr(), "dltensor"));
  if (managed == nullptr) throw py::error_already_set();
  PyCapsule_SetName(capsule.ptr(), "used_dltensor");
  out.keep = std::shared_ptr<void>(managed, [](void* p) {
    auto* const given = static_cast<DlManagedTensor*>(p);
    if (given->deleter != nullptr) given->deleter(given);
  });
  const DlTensor& tensor = managed->tensor;
  if (tensor.dtype.code != kDlFloat || tensor.dtype.bits != 32 || tensor.dtype.lanes != 1) {
    fail_config(parameter, kFloatTensor,
                detail::concat("DLPack type code ", int{tensor.dtype.code}, " of ", int{tensor.dtype.bits}, " bits"));
  }
  out.data = reinterpret_cast<float*>(static_cast<std::byte*>(tensor.data) + tensor.byte_offset);
  out.shape.assign(tensor.shape, tensor.shape + tensor.dimensions);
  out.strides = tensor.strides == nullptr
                    ? packed_strides(out.shape)
                    : std::vector<std::int64_t>(tensor.strides, tensor.strides + tensor.dimensions);
  return out;
}

Tensor from_cuda_array_interface(const py::object& object, const char* parameter) {
  const auto interface = object.attr("__cuda_array_interface__").cast<py::dict>();
  const auto type = interface["typestr"].cast<std::string>();
  if (type != "<f4") fail_config(parameter, kFloatTensor, detail::concat("typestr ", type));
  Tensor out;
  out.memory = Memory::device;
  const auto data = interface["data"].cast<py::tuple>();
  out.data = reinterpret_cast<float*>(data[0].cast<std::uintptr_t>());
  out.read_only = data[1].cast<bool>();
  out.shape = interface["shape"].cast<std::vector<std::int64_t>>();
  out.strides = packed_strides(out.shape);
  if (interface.contains("strides") && !interface["strides"].is_none()) {
    out.strides = interface["strides"].cast<std::vector<std::int64_t>>();
    for (std::int64_t& stride : out.strides) stride /= static_cast<std::int64_t>(sizeof(float));
  }
  if (interface.contains("stream") && !interface["stream"].is_none()) {
    out.producer_stream = interface["stream"].cast<std::uint64_t>();
  }
  out.keep = std::make_shared<py::object>(object);
  return out;
}

Tensor from_numpy(const py::array& array, const char* parameter) {
  if (!py::isinstance<py::array_t<float>>(array)) {
    fail_config(parameter, kFloatTensor, detail::concat("dtype ", py::str(array.dtype()).cast<std::string>()));
  }
  Tensor out;
  out.read_only = !array.writeable();
  out.data = static_cast<float*>(const_cast<void*>(array.data()));
  for (py::ssize_t i = 0; i < array.ndim(); ++i) {
    out.shape.push_back(array.shape(i));
    out.strides.push_back(array.strides(i) / static_cast<py::ssize_t>(sizeof(float)));
  }
  out.keep = std::make_shared<py::object>(array);
  return out;
}

}  // namespace

bool Tensor::packed_from(std::size_t axis) const {
  std::int64_t expected = 1;
  for (std::size_t i = shape.size(); i-- > axis;) {
    if (shape[i] != 1 && strides[i] != expected) return false;
    expected *= shape[i];
  }
  return true;
}

std::string Tensor::describe() const {
  std::string text = "float32 (";
  for (std::size_t i = 0; i < shape.size(); ++i) text += detail::concat(i > 0 ? ", " : "", shape[i]);
  text += shape.size() == 1 ? ",)" : ")";
  if (!packed_from(0)) text += " with gaps";
  if (read_only) text += ", read-only";
  return text;
}

Tensor borrow_tensor(const py::object& object, const char* parameter) {
  if (py::isinstance<py::array>(object)) return from_numpy(py::reinterpret_borrow<py::array>(object), parameter);
  if (py::hasattr(object, "__dlpack__")) return from_dlpack(object, parameter);
  if (py::hasattr(object, "__cuda_array_interface__")) return from_cuda_array_interface(object, parameter);
  fail_config(parameter, kFloatTensor, type_of(object));
}

}  // namespace streamsed::bindings
