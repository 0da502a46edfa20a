// Plots in the page's own colours; they follow the width of their place and the theme.

const live = new Set();
// On a wall the curve is what is looked at.
const LARGE = matchMedia("(min-width: 1700px)").matches ? 420 : 240;
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function axes(unit) {
  const common = { stroke: colour("--soft"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: "12px system-ui" };
  return [
    { ...common, space: 90, size: 32, values: [
      [86400, "{D} {MMM}", null, null, null, null, null, null, 1],
      [60, "{HH}:{mm}", null, null, null, null, null, null, 1],
      [1, "{HH}:{mm}:{ss}", null, null, null, null, null, null, 1],
    ] },
    { ...common, size: 58, values: (_plot, values) => values.map((value) => `${+value.toPrecision(4)} ${unit}`) },
  ];
}

// A minute at least: left alone, uPlot spreads a single moment over years.
function span(chart, low, high) {
  const from = low ?? 0;
  return [from, Math.max(chart.data[0].length > 1 ? high : from, from + 60)];
}

const PALETTE = ["--accent", "--warn", "--good", "--bad", "--asked"];

// series: [{label, stroke: "--accent", fill, dash, step}]
export function plot(place, series, data, { height = LARGE, unit = "kW", from } = {}) {
  const options = () => ({
    width: Math.max(place.clientWidth, 200),
    height,
    padding: [8, 28, 0, 0],
    cursor: { points: { size: 7 }, drag: { x: true, y: false } },
    legend: { show: false },
    scales: {
      x: { range: span },
      y: { range: (_plot, low, high) => [Math.min(0, low ?? 0), Math.max(high ?? 1, from ?? 0, 0.1) * 1.1] },
    },
    axes: axes(unit),
    series: [{}, ...series.map((one, index) => ({
      label: one.label,
      stroke: colour(one.stroke ?? PALETTE[index % PALETTE.length]),
      fill: one.fill ? `${colour(one.stroke)}22` : undefined,
      width: 2,
      dash: one.dash,
      points: { show: (chart) => chart.data[0].length < 3 },
      paths: one.step ? uPlot.paths.stepped({ align: 1 }) : undefined,
      spanGaps: one.spanGaps ?? false,
    }))],
  });
  let chart = new uPlot(options(), data, place);
  const handle = {
    place,
    set(next) { data = next; chart.setData(next); },
    resize() { if (place.clientWidth) chart.setSize({ width: place.clientWidth, height }); },
    repaint() { chart.destroy(); chart = new uPlot(options(), data, place); },
    end() { chart.destroy(); live.delete(handle); },
  };
  live.add(handle);
  return handle;
}

export function legend(series) {
  const list = document.createElement("div");
  list.className = "legend";
  series.forEach((one, index) => {
    const item = document.createElement("span");
    const mark = document.createElement("i");
    mark.style.background = `var(${one.stroke ?? PALETTE[index % PALETTE.length]})`;
    item.append(mark, one.label);
    list.append(item);
  });
  return list;
}

export function endAll() { for (const handle of [...live]) handle.end(); }

addEventListener("resize", () => live.forEach((handle) => handle.resize()));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => live.forEach((handle) => handle.repaint()));
