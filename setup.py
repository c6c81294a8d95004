"""What pyproject.toml cannot express: packages whose folders lie outside `torchlurk/`.

All metadata is in pyproject.toml. The site, the photographs and the small networks lie at the top of the
repository, where readers look for them, and are installed inside the package, where the code finds them.
"""

from setuptools import find_packages, setup

ELSEWHERE = {
    "torchlurk.site": "site",
    "torchlurk.photos": "data/photos",
    "torchlurk.networks": "data/networks",
}

setup(
    packages=[*find_packages(include=["torchlurk", "torchlurk.*"]), *ELSEWHERE],
    package_dir=ELSEWHERE,
)
