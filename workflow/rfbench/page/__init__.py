"""The report: one HTML file to read a benchmark by, without network, server or a second file.

`model.py` gathers what the page shows, `charts.py` and `grids.py` put it into Vega-Lite specifications and tables,
`render.py` writes the file. Every number is one that `rfbench.report` and `rfbench.statistics` compute for the tables
and figures; nothing is computed here. Needs neither torch nor the networks.
"""
