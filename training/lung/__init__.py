"""Classifier of respiratory cycles: a snapshot ensemble of convolutional networks (paper 004).

Nguyen and Pernkopf, "Lung Sound Classification Using Snapshot Ensemble of Convolutional Neural Networks", EMBC 2020.
Research software, not a medical device.
"""
