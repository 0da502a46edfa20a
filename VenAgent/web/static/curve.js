// The last hour as a curve (uPlot), with a reading of it in words.

import { at, clock, kw, number, put } from './format.js';

const HOUR = 3600;

// Colours and axes as the page has them now, light or dark.
export function plotLook() {
  const look = getComputedStyle(document.documentElement);
  const colour = (name) => look.getPropertyValue(`--${name}`).trim();
  const axis = {
    stroke: colour('soft'), font: '12px system-ui, sans-serif', ticks: { show: false },
    grid: { stroke: colour('line'), width: 1 },
  };
  return { colour, axis };
}

export class Curve {
  constructor(node) {
    this.node = node;
    this.points = new Map(); // by second: [power, baseline, target]
    this.pointSec = 5;
    this.latest = null;
    this.top = 1;
    this.bottom = 0;
    this.draw();
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.draw());
    new ResizeObserver(() => this.plot.setSize(this.size())).observe(node);
  }

  // What the agent kept; what this page saw before the agent was started anew stays.
  load(history) {
    this.pointSec = history.point_sec;
    this.toldMinute = null;
    history.ts.forEach((ts, index) => {
      this.points.set(ts, [history.power_kw[index], history.baseline_kw[index], history.target_kw[index]]);
    });
    this.show();
  }

  add(status) {
    const ts = status.ts - (status.meter_age_sec || 0);
    this.now = status.ts;
    if (status.power_kw !== null) {
      const target = status.event ? status.target_kw : null;
      this.latest = [ts, status.power_kw, status.baseline_kw, target];
      const start = ts - (ts % this.pointSec);
      if (!this.points.has(start)) this.points.set(start, this.latest.slice(1));
      else if (target !== null) this.points.get(start)[2] = target;
    }
    this.show();
  }

  show() {
    if (!this.now) return;
    const since = this.now - HOUR;
    // Nothing of the time to come either: the agent's clock may have been set back.
    for (const ts of this.points.keys()) if (ts < since - 60 || ts > this.now + 60) this.points.delete(ts);
    this.plot.setData(this.columns(), false);
    this.plot.setScale('x', { min: since, max: this.now });
    this.tell();
  }

  // What is known from then on, as the agent gives a curve.
  since(ts) {
    const rows = [...this.points].filter(([at_]) => at_ >= ts).sort((one, other) => one[0] - other[0]);
    const column = (place) => rows.map(([, values]) => values[place]);
    return { point_sec: this.pointSec, ts: rows.map(([at_]) => at_), power_kw: column(0), baseline_kw: column(1), target_kw: column(2) };
  }

  columns() {
    const rows = [...this.points].sort((one, other) => one[0] - other[0]);
    const columns = [[], [], [], []];
    const add = (ts, values) => {
      columns[0].push(ts);
      values.forEach((value, index) => columns[index + 1].push(value));
    };
    let before = null;
    for (const [ts, values] of rows) {
      if (before !== null && ts - before > 4 * this.pointSec) add(before + 1, [null, null, null]);
      add(ts, values);
      before = ts;
    }
    if (this.latest && before !== null && this.latest[0] > before) add(this.latest[0], this.latest.slice(1));
    return columns;
  }

  size() {
    return { width: this.node.clientWidth, height: this.node.clientHeight };
  }

  draw() {
    const { colour, axis } = plotLook();
    if (this.plot) this.plot.destroy();
    this.plot = new uPlot({
      ...this.size(),
      padding: [8, 20, 0, 0],
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, points: { size: 8 } },
      scales: { x: { time: true, auto: false }, y: { range: (_plot, low, high) => this.range(low, high) } },
      axes: [
        { ...axis, grid: { show: false }, size: 28, space: 70, values: (_plot, ticks) => ticks.map(clock) },
        { ...axis, size: 44, values: (_plot, ticks) => ticks.map((value) => `${value}`) },
      ],
      series: [
        {},
        { stroke: colour('power'), fill: colour('power-fill'), width: 2, points: { show: false } },
        { stroke: colour('baseline'), width: 1.5, dash: [6, 4], points: { show: false } },
        { stroke: colour('event'), width: 2, dash: [6, 4], points: { show: false } },
      ],
      bands: [{ series: [2, 3], fill: colour('event-fill') }],
      hooks: { setCursor: [() => this.tell()] },
    }, this.columns(), this.node);
    if (this.now) this.show();
  }

  // From zero; the top follows upwards at once and downwards only when much is free.
  range(low, high) {
    const wanted = Math.max(1, high || 0) * 1.12;
    if (wanted > this.top || wanted < 0.6 * this.top) this.top = wanted;
    this.bottom = Math.min(0, (low || 0) * 1.12);
    return [this.bottom, this.top];
  }

  // The figures under the pointer; without one, the latest.
  tell() {
    if (!this.plot) return;
    const index = this.plot.cursor.idx;
    const columns = this.plot.data;
    const pointed = index !== null && index !== undefined && columns[0][index];
    const [ts, power, baseline, target] = pointed
      ? columns.map((column) => column[index]) : this.latest || [null, null, null, null];
    put(at('at'), ts ? clock(ts) : '–');
    put(at('at-power'), number(power));
    put(at('at-baseline'), number(baseline));
    put(at('at-target'), number(target));
    const minute = Math.floor((this.now || 0) / 60);
    if (this.latest && minute !== this.toldMinute) {
      this.toldMinute = minute;
      const powers = columns[1].filter((value) => value !== null);
      this.node.setAttribute('aria-label', `Power of the last hour: now ${kw(this.latest[1])}, `
        + `lowest ${kw(Math.min(...powers))}, highest ${kw(Math.max(...powers))}`);
    }
  }
}
