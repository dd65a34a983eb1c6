"""One simple drawing for each label: shapes with soft edges, one part of which moves while the object sounds.

Every drawing is a function of :class:`Pose` that returns its shapes from the back to the front. Coordinates are those
of the object: u to the right and v downwards, the object reaches from about -1 to 1 in both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Colour = tuple[float, float, float]

_DARK: Colour = (0.08, 0.08, 0.1)
_WHITE: Colour = (0.95, 0.95, 0.93)
_RED: Colour = (0.85, 0.12, 0.1)
_YELLOW: Colour = (0.97, 0.8, 0.15)
_SKIN: Colour = (0.93, 0.75, 0.62)


class Shape(NamedTuple):
    """A part of a drawing: ``cover`` in [0, 1], shape (T, h, w), and its colour."""

    cover: Floats
    colour: Colour


@dataclass(frozen=True)
class Pose:
    """Where the pixels are in an object's coordinates, and what it does.

    Parameters
    ----------
    u, v : ndarray, shape (T, h, w), float32
        Or of any shape that broadcasts to it.
    edge : float
        Width of a pixel.
    activity : ndarray, shape (T, 1, 1), float32
        In [0, 1]: how much it moves.
    phase : ndarray, shape (T, 1, 1), float32
        Of its movement, in radians.
    colour : (red, green, blue)
        Of its body, in [0, 1].
    """

    u: Floats
    v: Floats
    edge: float
    activity: Floats
    phase: Floats
    colour: Colour

    @property
    def swing(self) -> Floats:
        """From -1 to 1 and back while it moves, 0 else."""
        return self.activity * np.sin(self.phase)

    @property
    def open(self) -> Floats:
        """From 0 to 1 and back while it moves, 0 else."""
        return self.activity * (0.6 + 0.4 * np.sin(self.phase))

    def moved(self, right: Floats | float = 0.0, down: Floats | float = 0.0) -> Pose:
        """Return the same further right and down."""
        return Pose(self.u - right, self.v - down, self.edge, self.activity, self.phase, self.colour)

    def ellipse(
        self, u: Floats | float, v: Floats | float, width: Floats | float, height: Floats | float
    ) -> Floats:
        """Cover of an ellipse with these half axes."""
        width, height = np.maximum(width, 1e-3), np.maximum(height, 1e-3)
        radius = np.hypot((self.u - u) / width, (self.v - v) / height)
        return self._soft((radius - 1) * np.minimum(width, height))

    def box(
        self, u: Floats | float, v: Floats | float, width: Floats | float, height: Floats | float
    ) -> Floats:
        """Cover of a rectangle with these half sides."""
        return self._soft(np.maximum(np.abs(self.u - u) - width, np.abs(self.v - v) - height))

    def line(
        self,
        start: tuple[Floats | float, Floats | float],
        end: tuple[Floats | float, Floats | float],
        thickness: float,
    ) -> Floats:
        """Cover of a stroke with round ends; ``thickness`` is half of its width."""
        along_u, along_v = end[0] - start[0], end[1] - start[1]
        squared = np.maximum(along_u * along_u + along_v * along_v, 1e-6)
        share = np.clip(((self.u - start[0]) * along_u + (self.v - start[1]) * along_v) / squared, 0, 1)
        distance = np.hypot(self.u - start[0] - share * along_u, self.v - start[1] - share * along_v)
        return self._soft(distance - max(thickness, 0.6 * self.edge))

    def triangle(
        self, u: Floats | float, top: Floats | float, bottom: Floats | float, half: Floats | float
    ) -> Floats:
        """Cover of a triangle that stands on its base, or on its tip where ``bottom`` is above ``top``."""
        share = (self.v - top) / (bottom - top)
        sides = np.abs(self.u - u) - half * share
        return self._soft(np.maximum(sides, np.maximum(-share, share - 1) * np.abs(bottom - top)))

    def _soft(self, distance: Floats) -> Floats:
        return np.clip(0.5 - distance / self.edge, 0, 1).astype(np.float32)


def _baby(pose: Pose) -> list[Shape]:
    head = pose.moved(right=0.06 * pose.swing)
    return [
        Shape(head.ellipse(0, 0, 0.85, 0.9), _SKIN),
        Shape(head.line((0, -0.95), (0.2, -0.75), 0.07), _DARK),
        Shape(head.ellipse(-0.35, -0.25, 0.12, 0.14 - 0.1 * pose.activity), _DARK),
        Shape(head.ellipse(0.35, -0.25, 0.12, 0.14 - 0.1 * pose.activity), _DARK),
        Shape(head.ellipse(0, 0.4, 0.22 + 0.15 * pose.open, 0.05 + 0.33 * pose.open), _RED),
        Shape(pose.box(0, 0.95, 0.8, 0.12), pose.colour),
    ]


def _talker(pose: Pose) -> list[Shape]:
    return [
        Shape(pose.ellipse(0, 1.0, 0.95, 0.62), pose.colour),
        Shape(pose.box(0, 0.35, 0.15, 0.2), _SKIN),
        Shape(pose.ellipse(0, -0.35, 0.45, 0.6), _SKIN),
        Shape(pose.ellipse(0, -0.75, 0.48, 0.28), _DARK),
        Shape(pose.ellipse(0, -0.02, 0.17, 0.03 + 0.15 * pose.open), _RED),
    ]


def _sneezer(pose: Pose) -> list[Shape]:
    head = pose.moved(right=0.2 * pose.open, down=0.15 * pose.open)
    spray = [
        Shape(pose.ellipse(0.55 + 0.4 * reach * pose.open, drop, 0.1, 0.1) * (pose.activity > 0.05), _WHITE)
        for reach, drop in ((0.4, -0.3), (0.9, -0.05), (0.7, 0.25))
    ]
    return [
        Shape(pose.ellipse(-0.35, 1.0, 0.6, 0.6), pose.colour),
        Shape(head.ellipse(-0.3, -0.3, 0.42, 0.5), _SKIN),
        Shape(head.triangle(0.2, -0.35, 0.0, 0.2), _SKIN),
        Shape(head.ellipse(-0.42, -0.62, 0.42, 0.25), _DARK),
        Shape(pose.line((-0.1, 0.85), (0.3, 0.35), 0.12), pose.colour),
        Shape(head.box(0.28, 0.2, 0.24, 0.22), _WHITE),
        *spray,
    ]


def _dog(pose: Pose) -> list[Shape]:
    up = pose.moved(down=-0.18 * np.abs(pose.swing))
    legs = [Shape(up.box(u, 0.7, 0.08, 0.28), pose.colour) for u in (-0.65, -0.4, 0.15, 0.4)]
    return [
        Shape(up.line((-0.8, 0.1), (-1.0, -0.4 + 0.25 * pose.swing), 0.08), pose.colour),
        *legs,
        Shape(up.ellipse(-0.15, 0.25, 0.75, 0.32), pose.colour),
        Shape(up.ellipse(0.55, -0.3, 0.32, 0.32), pose.colour),
        Shape(up.box(0.82, -0.26, 0.18, 0.12), pose.colour),
        Shape(up.triangle(0.35, -0.85, -0.4, 0.16), _DARK),
        Shape(up.ellipse(0.6, -0.38, 0.07, 0.07), _DARK),
        Shape(up.ellipse(0.85, -0.1 + 0.08 * pose.open, 0.16, 0.02 + 0.13 * pose.open), _RED),
    ]


def _rooster(pose: Pose) -> list[Shape]:
    head = pose.moved(down=-0.22 * pose.open)
    tail = [Shape(pose.line((-0.4, 0.2), (-0.95, v), 0.12), _DARK) for v in (-0.5, -0.2, 0.1)]
    return [
        *tail,
        Shape(pose.line((-0.1, 0.6), (-0.15, 1.0), 0.05), _YELLOW),
        Shape(pose.line((0.15, 0.6), (0.2, 1.0), 0.05), _YELLOW),
        Shape(pose.ellipse(0, 0.3, 0.55, 0.4), pose.colour),
        Shape(pose.line((0.3, 0.1), (0.45, -0.45 - 0.22 * pose.open), 0.18), pose.colour),
        Shape(head.ellipse(0.48, -0.5, 0.24, 0.22), pose.colour),
        Shape(head.ellipse(0.35, -0.78, 0.13, 0.14), _RED),
        Shape(head.ellipse(0.56, -0.8, 0.13, 0.14), _RED),
        Shape(head.box(0.82, -0.52 - 0.06 * pose.open, 0.14, 0.05), _YELLOW),
        Shape(head.box(0.8, -0.4 + 0.08 * pose.open, 0.12, 0.04), _YELLOW),
        Shape(head.ellipse(0.62, -0.28, 0.08, 0.12), _RED),
    ]


def _chainsaw(pose: Pose) -> list[Shape]:
    saw = pose.moved(right=0.12 * pose.swing, down=0.05 * pose.activity * np.cos(2.3 * pose.phase))
    shift = 0.05 * pose.phase % 0.2 * pose.activity
    teeth = [Shape(saw.box(-0.02 + 0.2 * n + shift, 0.02, 0.05, 0.28), _DARK) for n in range(5)]
    return [
        *teeth,
        Shape(saw.box(0.45, 0.02, 0.55, 0.19), (0.75, 0.77, 0.8)),
        Shape(saw.box(-0.5, 0.05, 0.45, 0.38), pose.colour),
        Shape(saw.line((-0.9, -0.05), (-0.35, -0.55), 0.09), _DARK),
        Shape(saw.line((-0.35, -0.55), (-0.1, -0.2), 0.09), _DARK),
    ]


def _clock(pose: Pose) -> list[Shape]:
    # The hand jumps: a quarter of a turn for every turn of the phase.
    turn = np.floor(pose.phase / (2 * np.pi)) * (np.pi / 3) * pose.activity
    marks = [
        Shape(pose.ellipse(0.68 * np.sin(a), -0.68 * np.cos(a), 0.07, 0.07), _DARK)
        for a in np.arange(4) * (np.pi / 2)
    ]
    return [
        Shape(pose.ellipse(0, 0, 1.0, 1.0), pose.colour),
        Shape(pose.ellipse(0, 0, 0.82, 0.82), _WHITE),
        *marks,
        Shape(pose.line((0, 0), (-0.35, -0.2), 0.08), _DARK),
        Shape(pose.line((0, 0), (0.62 * np.sin(turn), -0.62 * np.cos(turn)), 0.06), _RED),
    ]


def _fire(pose: Pose) -> list[Shape]:
    flames = [
        Shape(
            pose.triangle(
                u + 0.15 * pose.activity * np.sin(pose.phase + 2 * u),
                top + 0.3 * pose.activity * np.sin(1.7 * pose.phase + 5 * u),
                0.75,
                half,
            ),
            colour,
        )
        for u, top, half, colour in (
            (-0.4, -0.4, 0.4, (0.95, 0.35, 0.08)),
            (0.4, -0.3, 0.4, (0.95, 0.35, 0.08)),
            (0.0, -0.85, 0.5, (0.98, 0.5, 0.1)),
            (0.0, -0.1, 0.28, _YELLOW),
        )
    ]
    logs = [((-0.85, 0.95), (0.7, 0.7)), ((-0.7, 0.7), (0.85, 0.95))]
    return [*flames, *(Shape(pose.line(start, end, 0.12), (0.35, 0.2, 0.1)) for start, end in logs)]


def _helicopter(pose: Pose) -> list[Shape]:
    body = pose.moved(down=0.06 * pose.swing)
    reach = 0.95 * (1 - pose.activity * (1 - np.abs(np.cos(2.1 * pose.phase))))
    return [
        Shape(body.line((-0.2, 0.1), (-0.95, -0.05), 0.09), pose.colour),
        Shape(body.box(-0.95, -0.12, 0.06, 0.24), pose.colour),
        Shape(body.ellipse(0.2, 0.2, 0.55, 0.4), pose.colour),
        Shape(body.ellipse(0.42, 0.12, 0.26, 0.2), (0.6, 0.82, 0.95)),
        Shape(body.line((0.2, -0.2), (0.2, -0.45), 0.05), _DARK),
        Shape(body.line((0.2 - reach, -0.48), (0.2 + reach, -0.48), 0.06), _DARK),
        Shape(body.line((-0.2, 0.8), (0.65, 0.8), 0.05), _DARK),
        Shape(body.line((0.0, 0.5), (0.0, 0.8), 0.04), _DARK),
        Shape(body.line((0.4, 0.5), (0.4, 0.8), 0.04), _DARK),
    ]


def _rain(pose: Pose) -> list[Shape]:
    drops = []
    for number, u in enumerate(np.linspace(-0.7, 0.7, 6)):
        fall = (0.16 * pose.phase + 0.37 * number) % 1.0
        drop = pose.line((u, 0.05 + 0.85 * fall), (u - 0.06, 0.25 + 0.85 * fall), 0.05)
        drops.append(Shape(drop * np.minimum(4 * pose.activity, 1), (0.3, 0.5, 0.95)))
    grey = (0.62, 0.64, 0.7)
    cloud = [(-0.5, -0.35, 0.45, 0.35), (0.5, -0.35, 0.45, 0.33), (0.0, -0.55, 0.5, 0.45)]
    return [*drops, *(Shape(pose.ellipse(*one), grey) for one in cloud)]


def _sea(pose: Pose) -> list[Shape]:
    layers = []
    for number, colour in enumerate(((0.35, 0.65, 0.85), (0.15, 0.42, 0.75), (0.08, 0.25, 0.55))):
        swell = (0.08 + 0.22 * pose.activity) * np.sin(
            7 * pose.u + 0.5 * pose.phase * pose.activity + 2 * number
        )
        top = -0.45 + 0.45 * number + swell
        inside = np.maximum(np.maximum(top - pose.v, pose.v - 1), np.abs(pose.u) - 1)
        crest = np.abs(pose.v - top) - 0.06
        layers.append(Shape(np.clip(0.5 - inside / pose.edge, 0, 1), colour))
        edge = np.clip(0.5 - np.maximum(crest, np.abs(pose.u) - 1) / pose.edge, 0, 1)
        layers.append(Shape(edge, _WHITE))
    return layers


def _pulse(cover: Callable[[Pose, Floats], Floats]) -> Callable[[Pose], list[Shape]]:
    """Return a drawing of one shape that swells while it sounds."""

    def draw(pose: Pose) -> list[Shape]:
        return [Shape(cover(pose, 0.7 + 0.3 * pose.swing), pose.colour)]

    return draw


def _star(pose: Pose, size: Floats) -> Floats:
    return np.maximum(
        pose.triangle(0, -size, 0.55 * size, 0.9 * size), pose.triangle(0, size, -0.55 * size, 0.9 * size)
    )


def _cross(pose: Pose, size: Floats) -> Floats:
    return np.maximum(pose.box(0, 0, size, 0.3 * size), pose.box(0, 0, 0.3 * size, size))


def _ring(pose: Pose, size: Floats) -> Floats:
    return pose.ellipse(0, 0, size, size) - pose.ellipse(0, 0, 0.55 * size, 0.55 * size)


DRAWINGS: Mapping[str, Callable[[Pose], list[Shape]]] = {
    "baby_cry": _baby,
    "chainsaw": _chainsaw,
    "clock_tick": _clock,
    "dog_bark": _dog,
    "fire_crackling": _fire,
    "helicopter": _helicopter,
    "person_sneeze": _sneezer,
    "rain": _rain,
    "rooster": _rooster,
    "sea_waves": _sea,
    "speech": _talker,
    "star": _pulse(_star),
    "cross": _pulse(_cross),
    "ring": _pulse(_ring),
    "square": _pulse(lambda pose, size: pose.box(0, 0, size, size)),
    "disc": _pulse(lambda pose, size: pose.ellipse(0, 0, size, size)),
}
