/** A line or a group of dots in a chart. */
export interface Series {
  readonly name: string;
  readonly points: readonly (readonly [x: number, y: number])[];
  readonly labels?: readonly string[];
}

export interface Axis {
  readonly title: string;
  readonly kind: 'linear' | 'log' | 'percentile';
  readonly format: (value: number) => string;
}

const WIDTH = 640;
const HEIGHT = 320;
const LEFT = 70;
const RIGHT = 20;
const TOP = 16;
const BOTTOM = 46;

/** Text for markup. */
export function escapeText(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}

/** Where percentiles lie on an axis that gives each nine the same room. */
function nines(percent: number): number {
  return -Math.log10(1 - Math.min(percent, 99.9995) / 100);
}

interface Scale {
  readonly at: (value: number) => number;
  readonly ticks: readonly number[];
}

function scale({ kind }: Axis, values: readonly number[], from: number, to: number): Scale {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  if (kind === 'percentile') {
    const end = nines(high);
    const ticks = [0, 50, 90, 99, 99.9, 99.99, 99.999].filter((tick) => nines(tick) <= end + 0.01);
    return { ticks, at: (value) => from + ((to - from) * nines(value)) / end };
  }
  if (kind === 'log' && low > 0) {
    const [start, end] = [Math.floor(Math.log10(low) * 2) / 2, Math.ceil(Math.log10(high) * 2 + 0.01) / 2];
    const ticks: number[] = [];
    for (let power = Math.floor(start); power <= end; power++) {
      for (const factor of end - start > 2.5 ? [1] : [1, 2, 5]) {
        const tick = factor * 10 ** power;
        if (Math.log10(tick) >= start - 1e-9 && Math.log10(tick) <= end + 1e-9) ticks.push(tick);
      }
    }
    return { ticks, at: (value) => from + ((to - from) * (Math.log10(value) - start)) / (end - start) };
  }
  const step = niceStep(high / 5);
  const end = Math.max(step, Math.ceil(high / step) * step);
  const ticks = Array.from({ length: Math.round(end / step) + 1 }, (_, index) => index * step);
  return { ticks, at: (value) => from + ((to - from) * value) / end };
}

function niceStep(rough: number): number {
  if (rough <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const digit = rough / power;
  return power * (digit <= 1 ? 1 : digit <= 2 ? 2 : digit <= 5 ? 5 : 10);
}

/** Lines with dots at their points, as an SVG element. */
export function lineChart(series: readonly Series[], x: Axis, y: Axis, dots: boolean): string {
  const points = series.flatMap((each) => each.points);
  if (points.length === 0) return '';
  const across = scale(
    x,
    points.map(([value]) => value),
    LEFT,
    WIDTH - RIGHT,
  );
  const up = scale(
    y,
    points.map(([, value]) => value),
    HEIGHT - BOTTOM,
    TOP,
  );
  const parts = [frame(x, y, across, up)];
  for (const [index, { name, points: list, labels }] of series.entries()) {
    const at = list.map(([a, b]) => `${across.at(a).toFixed(1)},${up.at(b).toFixed(1)}`);
    parts.push(`<polyline class="line s${index}" points="${at.join(' ')}"/>`);
    if (!dots) continue;
    for (const [position, [a, b]] of list.entries()) {
      const label = labels?.[position];
      const title = `${name}${label ? `, ${label}` : ''}: ${x.format(a)}, ${y.format(b)}`;
      parts.push(
        `<circle class="dot s${index}" cx="${across.at(a).toFixed(1)}" cy="${up.at(b).toFixed(1)}" r="4"><title>${escapeText(title)}</title></circle>`,
      );
      if (label && index === series.length - 1) {
        parts.push(
          `<text class="label" x="${across.at(a).toFixed(1)}" y="${(up.at(b) - 9).toFixed(1)}" text-anchor="middle">${escapeText(label)}</text>`,
        );
      }
    }
  }
  return `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img">${parts.join('')}</svg>${legend(series.map(({ name }) => name))}`;
}

function frame(x: Axis, y: Axis, across: Scale, up: Scale): string {
  const lines = up.ticks.map((tick) => {
    const at = up.at(tick).toFixed(1);
    return `<line class="grid" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${at}" y2="${at}"/><text x="${LEFT - 8}" y="${at}" text-anchor="end" dominant-baseline="middle">${escapeText(y.format(tick))}</text>`;
  });
  const marks = across.ticks.map((tick) => {
    const at = across.at(tick).toFixed(1);
    return `<line class="grid" x1="${at}" x2="${at}" y1="${TOP}" y2="${HEIGHT - BOTTOM}"/><text x="${at}" y="${HEIGHT - BOTTOM + 16}" text-anchor="middle">${escapeText(x.format(tick))}</text>`;
  });
  const titles = `<text class="axis" x="${(LEFT + WIDTH - RIGHT) / 2}" y="${HEIGHT - 8}" text-anchor="middle">${escapeText(x.title)}</text><text class="axis" transform="translate(14 ${(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)" text-anchor="middle">${escapeText(y.title)}</text>`;
  return `${lines.join('')}${marks.join('')}${titles}`;
}

/** What the colours stand for. */
export function legend(names: readonly string[]): string {
  if (names.length < 2) return '';
  return `<p class="legend">${names.map((name, index) => `<span><i class="s${index}"></i>${escapeText(name)}</span>`).join('')}</p>`;
}

export interface StackedBar {
  readonly label: string;
  readonly parts: readonly number[];
}

/** Bars of parts that add up, one below the other. */
export function stackedBars(
  names: readonly string[],
  bars: readonly StackedBar[],
  format: (value: number) => string,
): string {
  const most = Math.max(...bars.map(({ parts }) => parts.reduce((sum, part) => sum + part, 0)));
  const height = 30;
  const drawn = bars.map(({ label, parts }, row) => {
    let x = LEFT + 60;
    const room = WIDTH - x - 80;
    const y = row * height + 4;
    const boxes = parts.map((part, index) => {
      const width = (part / most) * room;
      const box = `<rect class="bar s${index}" x="${x.toFixed(1)}" y="${y}" width="${width.toFixed(1)}" height="20"><title>${escapeText(`${names[index] ?? ''}: ${format(part)}`)}</title></rect>`;
      x += width;
      return box;
    });
    const total = parts.reduce((sum, part) => sum + part, 0);
    return `<text x="${LEFT + 50}" y="${y + 10}" text-anchor="end" dominant-baseline="middle">${escapeText(label)}</text>${boxes.join('')}<text x="${(x + 6).toFixed(1)}" y="${y + 10}" dominant-baseline="middle">${escapeText(format(total))}</text>`;
  });
  return `<svg viewBox="0 0 ${WIDTH} ${bars.length * height + 6}" role="img">${drawn.join('')}</svg>${legend(names)}`;
}
