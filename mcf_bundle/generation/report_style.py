"""Stylesheet of the report: light, dark and on paper."""

STYLE = """
:root {
  color-scheme: light dark;
  --page: #f6f7f8; --card: #ffffff; --text: #1d2126; --soft: #5d6670; --line: #dde1e5;
  --accent: #0f6b75; --bar: #b9dcdf; --warn: #8a4b00; --warn-page: #fff4e0; --warn-line: #e9b65f;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #14171a; --card: #1c2024; --text: #e6e9ec; --soft: #9aa4ae; --line: #31373d;
    --accent: #6cc5cf; --bar: #24505a; --warn: #ffcf87; --warn-page: #33270f; --warn-line: #7d5b1d;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--page); color: var(--text);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
}
main { max-width: 1160px; margin: 0 auto; padding: 2.5rem 1.25rem 4rem; }
h1 { margin: 0; font-size: 1.05rem; font-weight: 600; color: var(--soft); }
h2 { margin: 3rem 0 .9rem; font-size: 1.25rem; font-weight: 600; }
h3 { margin: 0 0 .4rem; font-size: 1rem; font-weight: 600; }
p { margin: .3rem 0; max-width: 95ch; }
a { color: var(--accent); }
.headline { margin: .2rem 0 .8rem; font-size: 2.1rem; line-height: 1.2; font-weight: 600; max-width: none; }
.soft, .note { color: var(--soft); }
.note { margin-bottom: .6rem; font-size: .87rem; }
.warnings {
  margin: 1.4rem 0 0; padding: .8rem 1.1rem; background: var(--warn-page); color: var(--warn);
  border: 1px solid var(--warn-line); border-radius: 8px;
}
.warnings ul { margin: .2rem 0 0; padding-left: 1.2rem; }
.notice { margin: 1.2rem 0 0; padding-left: .9rem; border-left: 3px solid var(--accent); }
.figures { display: flex; flex-wrap: wrap; gap: .8rem 2.8rem; margin: 1.4rem 0 1.2rem; }
.figures div { display: flex; flex-direction: column-reverse; }
.figures dt { color: var(--soft); font-size: .87rem; }
.figures dd { margin: 0; font-size: 1.45rem; font-weight: 600; line-height: 1.25;
  font-variant-numeric: tabular-nums; }
nav { display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; margin-top: 1.6rem; font-size: .92rem; }
.tile, .table {
  margin: 0 0 1.1rem; padding: .9rem 1.1rem 1rem; background: var(--card); border: 1px solid var(--line);
  border-radius: 8px;
}
.drawing { margin: 0 0 1.1rem; padding: .9rem 1.1rem; background: var(--card); border: 1px solid var(--line);
  border-radius: 8px; }
.drawing svg { display: block; width: 100%; height: auto; }
.tables { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 1.1rem;
  align-items: start; grid-auto-flow: dense; }
.tables .table { margin: 0; }
.tables .wide { grid-column: 1 / -1; }
.scroll { overflow: auto; max-height: 27rem; }
table { width: 100%; border-collapse: collapse; font-size: .9rem; }
th, td { padding: .3rem .9rem .3rem 0; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--line); }
th:last-child, td:last-child { padding-right: 0; }
tr:last-child td { border-bottom: 0; }
thead th { position: sticky; top: 0; background: var(--card);
  color: var(--soft); font-weight: 500; font-size: .82rem; }
.code, .long { overflow-wrap: anywhere; }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; overflow-wrap: normal; }
.code { font: .82rem/1.6 ui-monospace, "SF Mono", Menlo, Consolas, monospace; }
.bar { width: 38%; min-width: 6rem; padding-right: 0; }
.bar i { display: block; height: .8rem; margin-top: .3rem; background: var(--bar); border-radius: 2px;
  min-width: 1px; -webkit-print-color-adjust: exact; print-color-adjust: exact; }
@media (max-width: 800px) { .tables { grid-template-columns: minmax(0, 1fr); } }
@media print {
  :root { color-scheme: light; --page: #fff; --card: #fff; --text: #000; --soft: #444; --line: #ccc;
    --accent: #0f6b75; --bar: #b9dcdf; --warn: #6b3a00; --warn-page: #fff; }
  body { font-size: 10pt; }
  main { max-width: none; padding: 0; }
  nav { display: none; }
  h2, h3 { break-after: avoid; }
  .tile, .warnings, tr { break-inside: avoid; }
  .scroll { overflow: visible; max-height: none; }
  thead th { position: static; }
}
"""
