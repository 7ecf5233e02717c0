"""Packaging: everything is read from settings.ini, as nbdev keeps it."""

from configparser import ConfigParser
from pathlib import Path

from setuptools import find_packages, setup

parser = ConfigParser(delimiters=["="])
parser.read(Path(__file__).with_name("settings.ini"), encoding="utf-8")
config = parser["DEFAULT"]


def lines(key: str) -> list[str]:
    """The non-empty lines of a multi-line setting."""
    return [line.strip() for line in config[key].splitlines() if line.strip()]


EXTRAS = ("train", "serve", "dashboard", "mlops", "dask", "docs", "dev")
extras = {name: lines(f"{name}_requirements") for name in EXTRAS}
extras["all"] = sorted({requirement for name in EXTRAS for requirement in extras[name]})

setup(
    name=config["lib_name"],
    version=config["version"],
    description=config["description"],
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author=config["author"],
    url=config["git_url"],
    license="Apache-2.0",
    packages=find_packages(include=["salesforecast", "salesforecast.*"]),
    package_data={"salesforecast": ["py.typed"]},
    python_requires=f">={config['min_python']},<{config['max_python']}",
    install_requires=lines("requirements"),
    extras_require=extras,
    entry_points={"console_scripts": lines("console_scripts")},
)
