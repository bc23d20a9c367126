"""Which packages are installed: all but the tests, and the shipped weights, which lie beside the package, as one in it."""

from setuptools import find_packages, setup

setup(packages=[*find_packages(include=["solution", "solution.*"], exclude=["solution.tests*"]), "solution.folds"])
