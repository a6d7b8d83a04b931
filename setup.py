"""Puts the starter project into the wheel, for `llm-planner init`; its files stay where they are developed."""

from setuptools import find_namespace_packages, setup

STARTER = {"llm_planner.starter.app": "app", "llm_planner.starter.project": "scaffold"}

setup(packages=[*find_namespace_packages(include=["llm_planner*"]), *STARTER], package_dir=STARTER)
