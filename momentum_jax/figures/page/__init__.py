"""The figures of the page, as HTML and SVG: nothing here computes more than positions.

Places are percent of the figure's width, and every word is HTML text. So one drawing fits a phone and a screen, prints and is
read aloud. Curves are paths in a box of 1000 by 1000 that the page stretches. Arms differ by colour (class `c0` to `c5`), by
dashes (`k0` to `k5`) and by the shape of their mark. Class `s7` is on everything of arm 7, to hide it.

    axis, interval, strip    rows that share a `Scale`
    curves                   lines with bands against steps
    scatter                  trials of a search against one hyperparameter
"""

from markupsafe import Markup as Markup

from momentum_jax.figures.page.charts import (
    Chart as Chart,
    Dot as Dot,
    Line as Line,
    curves as curves,
    scatter as scatter,
    spread as spread,
)
from momentum_jax.figures.page.rows import away as away, axis as axis, interval as interval, strip as strip
from momentum_jax.figures.page.scale import (
    Scale as Scale,
    key as key,
    short as short,
    style_of as style_of,
    tick_text as tick_text,
)
