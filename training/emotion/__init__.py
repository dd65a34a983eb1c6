"""Dimensional emotion of speech: data, features, regressors and the study of paper 003.

Vlasenko, Vyas and Magimai.-Doss, "Comparing data-driven and handcrafted features for dimensional emotion recognition",
ICASSP 2024. Acted speech of few speakers says little about people: not for judging them.
"""
