// Enlarges the charts with uPlot, and counts down what waits for a confirmation. Without it, all pages work as they are.
'use strict';
(() => {
  const colours = { dropped: '--dropped', passed: '--passed', added: '--added', removed: '--removed' };
  const plots = new Map();
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const units = [[1e12, 'T'], [1e9, 'G'], [1e6, 'M'], [1e3, 'k']];
  const short = (value) => {
    if (value == null) return '–';
    const unit = units.find(([size]) => value >= size);
    const number = unit ? value / unit[0] : value;
    return `${Number(number.toPrecision(3))}${unit ? ' ' + unit[1] : ''}`;
  };
  const twoDigits = (number) => String(number).padStart(2, '0');
  const utc = (seconds) => {
    const time = new Date(seconds * 1000);
    const day = `${twoDigits(time.getUTCMonth() + 1)}-${twoDigits(time.getUTCDate())}`;
    return { day, time: `${twoDigits(time.getUTCHours())}:${twoDigits(time.getUTCMinutes())}` };
  };
  const labels = (_, ticks) => {
    const isLong = ticks.length > 1 && ticks[ticks.length - 1] - ticks[0] > 2 * 86400;
    return ticks.map((tick) => utc(tick)[isLong ? 'day' : 'time']);
  };

  const options = (figure, data) => {
    const axis = { stroke: colour('--dim'), grid: { stroke: colour('--line'), width: 1 }, ticks: { show: false } };
    return {
      width: figure.clientWidth,
      height: 220,
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), 'UTC'),
      cursor: { drag: { x: false, y: false } },
      scales: { y: { range: (_, __, max) => [0, max > 0 ? max * 1.1 : 1] } },
      series: [
        { label: 'UTC', value: (_, seconds) => (seconds == null ? '–' : `${utc(seconds).day} ${utc(seconds).time}`) },
        ...data.lines.map((line) => ({
          label: line.name,
          stroke: colour(colours[line.name]),
          width: 1.5,
          points: { show: false },
          value: (_, value) => short(value),
        })),
      ],
      axes: [
        { ...axis, size: 30, values: labels },
        { ...axis, size: 56, values: (_, ticks) => ticks.map(short) },
      ],
    };
  };

  const draw = async (figure) => {
    const response = await fetch(figure.dataset.series, { credentials: 'same-origin' });
    if (!response.ok) return;
    const data = await response.json();
    const values = [data.times, ...data.lines.map((line) => line.values)];
    const shown = plots.get(figure);
    if (shown) {
      shown.setData(values);
      return;
    }
    const svg = figure.querySelector('svg.plot');
    const made = new uPlot(options(figure, data), values);
    made.root.setAttribute('aria-hidden', 'true');
    figure.prepend(made.root);
    // The drawing of the server stays the text alternative.
    if (svg) svg.classList.add('hidden');
    // uPlot has a legend of its own, with values.
    const caption = figure.querySelector('figcaption');
    if (caption) caption.classList.add('hidden');
    plots.set(figure, made);
  };
  const drawAll = () => {
    for (const [figure, plot] of plots) {
      if (figure.isConnected) continue;
      plot.destroy();
      plots.delete(figure);
    }
    for (const figure of document.querySelectorAll('[data-series]')) draw(figure).catch(() => {});
  };
  const redraw = () => {
    for (const [figure, plot] of plots) {
      plot.destroy();
      plots.delete(figure);
    }
    drawAll();
  };

  // Deadlines by the clock of this browser, from the seconds left that the page says.
  const deadlines = new WeakMap();
  const count = () => {
    for (const span of document.querySelectorAll('[data-countdown]')) {
      const said = span.dataset.countdown;
      let kept = deadlines.get(span);
      if (!kept || kept.said !== said) {
        kept = { said, until: Date.now() + Number(said) * 1000 };
        deadlines.set(span, kept);
      }
      const text = `${Math.max(0, Math.round((kept.until - Date.now()) / 1000))} s`;
      if (span.textContent !== text) span.textContent = text;
    }
  };

  drawAll();
  setInterval(drawAll, 30000);
  count();
  setInterval(count, 1000);
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', redraw);
  let width = innerWidth;
  addEventListener('resize', () => {
    if (innerWidth === width) return;
    width = innerWidth;
    redraw();
  });
})();
