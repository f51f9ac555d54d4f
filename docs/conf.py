"""The pages: Sphinx with MyST-NB and the book theme. Nothing here needs a network."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent / "_ext"))

import momentum_jax

project = "momentum_jax"
version = release = momentum_jax.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_design",
    "sphinx_copybutton",
    "house",
    "methods",
]
exclude_patterns = ["_build", "**.ipynb_checkpoints"]

# Notebooks are shown with their stored outputs. Widgets would need a network.
nb_execution_mode = "off"
nb_ipywidgets_js = {}
myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence"]
smartquotes = False

add_module_names = False
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
# Docstrings say in words what an argument is.
autodoc_typehints = "none"
python_maximum_signature_line_length = 88

html_static_path = ["_static"]
html_css_files = ["pages.css"]
html_theme = "sphinx_book_theme"
html_title = "momentum_jax"
html_theme_options = {
    "repository_url": "https://github.com/momentum-jax/momentum_jax",
    "use_repository_button": True,
    "show_toc_level": 2,
    "navbar_persistent": [],
    "footer_content_items": [],
}
