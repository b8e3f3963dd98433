"""The parts of ``report.html``: what stands in it as HTML, what its script draws from, style and script."""
