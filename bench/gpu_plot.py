"""The plot of gpu_table.py: an SVG of two panels over the context, milliseconds a token and gigabytes of K and V."""

import math

WIDTH, HEIGHT = 900, 380
# Of a panel's inside, from the image's edges and from the other panel.
TOP, BOTTOM, LEFT, GAP, RIGHT = 64, 44, 54, 70, 16
COLOURS = ["#1f5fa8", "#c2571a", "#6b6b6b", "#2f7d4f"]
INK, GRID = "#333333", "#dddddd"


def shown_context(tokens):
    return f"{tokens // 1024}k" if tokens >= 1024 and tokens % 1024 == 0 else str(tokens)


def nice_step(top):
    """A step of 1, 2 or 5 times a power of ten that cuts [0, top] into 4 to 8 parts."""
    power = 10 ** math.floor(math.log10(top / 4))
    return next(power * factor for factor in (1, 2, 5, 10) if top / (power * factor) <= 8)


def text(x, y, said, anchor="middle", size=12, colour=INK):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" fill="{colour}">{said}</text>'


def line(x1, y1, x2, y2, colour):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"/>'


class Panel:
    """Contexts along x by their logarithm, values from 0 up."""

    def __init__(self, left, width, contexts, top_value):
        self.left, self.width = left, width
        self.low, self.high = math.log2(min(contexts)), math.log2(max(contexts))
        self.step = nice_step(top_value)
        self.top_value = self.step * math.ceil(top_value / self.step)

    def x(self, context):
        share = 0.5 if self.high == self.low else (math.log2(context) - self.low) / (self.high - self.low)
        return self.left + self.width * (0.03 + 0.94 * share)

    def y(self, value):
        return HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * value / self.top_value

    def frame(self, contexts, title):
        parts = [text(self.left, TOP - 12, title, anchor="start", size=13)]
        for tick in range(round(self.top_value / self.step) + 1):
            y = self.y(tick * self.step)
            parts.append(line(self.left, y, self.left + self.width, y, INK if tick == 0 else GRID))
            parts.append(text(self.left - 6, y + 4, f"{tick * self.step:g}", anchor="end"))
        for context in contexts:
            parts.append(text(self.x(context), HEIGHT - BOTTOM + 18, shown_context(context)))
        parts.append(text(self.left + self.width / 2, HEIGHT - 8, "context (tokens)"))
        return parts

    def curve(self, points, colour):
        """Of (context, value) in order of contexts."""
        path = " ".join(f"{self.x(context):.1f},{self.y(value):.1f}" for context, value in points)
        parts = [f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>']
        for context, value in points:
            parts.append(f'<circle cx="{self.x(context):.1f}" cy="{self.y(value):.1f}" r="3.5" fill="{colour}"/>')
        return parts


def svg(series):
    """`series`: name -> [(context, milliseconds a token, GB held)]."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
    ]
    contexts = sorted({point[0] for points in series.values() for point in points})
    if not contexts:
        return "\n".join([*parts, text(WIDTH / 2, HEIGHT / 2, "nothing was measured"), "</svg>\n"])
    x = LEFT
    for colour, name in zip(COLOURS, series):
        parts.append(f'<rect x="{x}" y="14" width="14" height="14" fill="{colour}"/>')
        parts.append(text(x + 20, 26, name, anchor="start"))
        x += 44 + 7 * len(name)
    width = (WIDTH - LEFT - GAP - RIGHT) / 2
    for column, title in ((1, "milliseconds a token"), (2, "K and V held, GB")):
        left = LEFT + (column - 1) * (width + GAP)
        panel = Panel(left, width, contexts, max(point[column] for points in series.values() for point in points))
        parts += panel.frame(contexts, title)
        for colour, points in zip(COLOURS, series.values()):
            parts += panel.curve([(point[0], point[column]) for point in sorted(points)], colour)
    return "\n".join([*parts, "</svg>\n"])
