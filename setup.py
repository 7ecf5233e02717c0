"""Packaging: everything is read from settings.ini, as nbdev keeps it."""

import re
import shutil
from configparser import ConfigParser
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

parser = ConfigParser(delimiters=["="])
parser.read(Path(__file__).with_name("settings.ini"), encoding="utf-8")
config = parser["DEFAULT"]


def lines(key: str) -> list[str]:
    """The non-empty lines of a multi-line setting."""
    return [line.strip() for line in config[key].splitlines() if line.strip()]


EXTRAS = ("train", "serve", "dashboard", "mlops", "dask", "docs", "dev")
extras = {
    name: lines(f"{name}_requirements") for name in (*EXTRAS, "pretrained", "peers")
}  # large: not part of "all"
extras["all"] = sorted({requirement for name in EXTRAS for requirement in extras[name]})


def absolute_links(readme: str) -> str:
    """README for PyPI, where a relative link leads nowhere: pages lead to this version's files, pictures show them."""
    tree = f"{config['git_url']}/blob/v{config['version']}"
    raw = f"{config['git_url']}/raw/v{config['version']}"
    return re.sub(
        r"(!?)(\[[^\]]*\])\((?![a-z]+:|#)([^)]+)\)",
        lambda m: f"{m[1]}{m[2]}({raw if m[1] else tree}/{m[3]})",
        readme,
    )


class BuildWithNotebook(build_py):
    """A wheel carries the notebook that the dashboard serves; a checkout has it in `nbs/`."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            shutil.copy(Path("nbs", "dashboard.ipynb"), Path(self.build_lib, "salesforecast", "dashboard"))


setup(
    name=config["lib_name"],
    version=config["version"],
    description=config["description"],
    long_description=absolute_links(Path(__file__).with_name("README.md").read_text(encoding="utf-8")),
    long_description_content_type="text/markdown",
    author=config["author"],
    url=config["git_url"],
    license="Apache-2.0",
    packages=find_packages(include=["salesforecast", "salesforecast.*"]),
    package_data={"salesforecast": ["py.typed", "dashboard/assets/*", "dashboard/share/**/*"]},
    cmdclass={"build_py": BuildWithNotebook},
    python_requires=f">={config['min_python']},<{config['max_python']}",
    install_requires=lines("requirements"),
    extras_require=extras,
    entry_points={"console_scripts": lines("console_scripts")},
)
