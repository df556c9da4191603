"""The Grafana dashboards of the chart: written as data here, generated into `charts/tuneloop/dashboards`.

`page` has the data types, `queries` the pieces of PromQL, `grafana` makes Grafana's JSON of a page. The other modules are one dashboard each.
"""
