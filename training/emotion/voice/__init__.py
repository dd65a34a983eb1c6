"""The model of dimensional emotion that listens live: functionals, a voice activity gate and an ensemble of SVRs."""
