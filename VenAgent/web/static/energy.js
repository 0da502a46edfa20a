// Days and weeks of the past: means of 15 minutes as a curve, or energy by day and week as bars.

import { plotLook } from './curve.js';
import { at, clock, day, make, number, put, weekday } from './format.js';
import { read, Refused } from './live.js';

const RANGES = {
  day: { days: 1, words: 'The last 24 hours' },
  week: { days: 7, words: 'The last 7 days' },
  days: { days: 30, words: 'The last 30 days', bars: startOfDay },
  weeks: { days: 60, words: 'The last 60 days', bars: startOfWeek },
};
const AGAIN_SEC = 300;

function startOfDay(ts) {
  const date = new Date(ts * 1000);
  date.setHours(0, 0, 0, 0);
  return date.getTime() / 1000;
}

function startOfWeek(ts) {
  const date = new Date(ts * 1000);
  date.setHours(0, 0, 0, 0);
  date.setDate(date.getDate() - ((date.getDay() + 6) % 7)); // a week begins on Monday
  return date.getTime() / 1000;
}

// Energy (kWh), highest mean (kW) and time covered (s) of each day or week in which something was read.
export function byPeriod(power, startOf) {
  const periods = new Map();
  power.ts.forEach((ts, index) => {
    const start = startOf(ts);
    const sum = periods.get(start) || { start, kwh: 0, peak: -Infinity, covered: 0 };
    const kw = power.power_kw[index];
    sum.kwh += (kw * power.covered_sec[index]) / 3600;
    sum.peak = Math.max(sum.peak, kw);
    sum.covered += power.covered_sec[index];
    periods.set(start, sum);
  });
  return [...periods.values()].sort((one, other) => one.start - other.start);
}

export class Energy {
  constructor(node, hourNode) {
    this.node = node;
    this.hourNode = hourNode;
    this.name = 'hour';
    this.readAt = 0;
    for (const button of at('ranges').querySelectorAll('button')) {
      button.addEventListener('click', () => this.choose(button.value));
    }
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.draw());
    new ResizeObserver(() => this.plot && !node.hidden && this.plot.setSize(this.size())).observe(node);
  }

  size() {
    return { width: this.node.clientWidth, height: this.node.clientHeight };
  }

  async choose(name) {
    this.name = name;
    for (const button of at('ranges').querySelectorAll('button')) {
      button.setAttribute('aria-pressed', String(button.value === name));
    }
    const past = name !== 'hour';
    this.node.hidden = !past;
    this.hourNode.hidden = past;
    at('curve-legend').classList.toggle('unseen', past);
    put(at('curve-unit'), RANGES[name] && RANGES[name].bars ? 'kWh' : 'kW');
    put(at('energy-sum'), past ? 'Reading…' : 'Power of the last hour.');
    if (past) await this.load();
  }

  // Called with each word of the agent: what is shown is read again now and then.
  async tick(now) {
    if (this.name !== 'hour' && now - this.readAt > AGAIN_SEC) await this.load(now);
  }

  async load(now = Date.now() / 1000) {
    const wanted = this.name;
    this.readAt = now;
    try {
      this.power = await read(`api/power?days=${RANGES[wanted].days}`);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      put(at('energy-sum'), `Not read: ${error.message}`);
      this.power = null;
    }
    if (wanted !== this.name || this.name === 'hour') return; // another was chosen meanwhile
    this.draw();
  }

  draw() {
    if (this.plot) this.plot.destroy();
    this.plot = null;
    if (this.name === 'hour' || !this.power) return;
    const { words, bars } = RANGES[this.name];
    this.periods = byPeriod(this.power, bars || startOfDay);
    const kwh = this.periods.reduce((sum, each) => sum + each.kwh, 0);
    this.sum = this.periods.length
      ? `${words}: ${number(kwh, kwh < 100 ? 1 : 0)} kWh, highest ${number(Math.max(...this.periods.map((each) => each.peak)))} kW (mean of 15 minutes).`
      : 'Nothing was recorded in that time.';
    put(at('energy-sum'), this.sum);
    const latest = this.periods.slice(-8).map((each) => `${this.label(each.start)} ${number(each.kwh, 0)} kWh`);
    this.node.setAttribute('aria-label', `${this.sum} ${bars ? latest.join(', ') : ''}`);
    this.plot = bars ? this.bars() : this.line();
  }

  label(ts) {
    return this.name === 'weeks' ? `week of ${day(ts, Date.now() / 1000)}` : `${weekday(ts)} ${day(ts, Date.now() / 1000)}`;
  }

  options(unit, ticks) {
    const { axis } = plotLook();
    return {
      ...this.size(),
      padding: [8, 20, 0, 0],
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, points: { size: 8 } },
      scales: { x: { time: true }, y: { range: (_plot, low, high) => [Math.min(0, low || 0), Math.max(1, high || 0) * 1.08] } },
      axes: [
        { ...axis, grid: { show: false }, size: 28, space: 70, values: (_plot, splits) => splits.map(ticks) },
        { ...axis, size: 52, values: (_plot, splits) => splits.map((value) => `${value}`) },
      ],
      hooks: { setCursor: [(plot) => this.tell(plot, unit)] },
    };
  }

  line() {
    const { colour } = plotLook();
    const columns = [[], []];
    let before = null;
    this.power.ts.forEach((ts, index) => {
      if (before !== null && ts - before > this.power.interval_sec) {
        columns[0].push(before + this.power.interval_sec);
        columns[1].push(null); // nothing is drawn where nothing was read
      }
      columns[0].push(ts);
      columns[1].push(this.power.power_kw[index]);
      before = ts;
    });
    const ticks = this.name === 'day' ? clock : (ts) => (startOfDay(ts) === ts ? weekday(ts) : clock(ts));
    const steps = uPlot.paths.stepped({ align: 1 });
    return new uPlot({
      ...this.options('kW', ticks),
      series: [{}, { stroke: colour('power'), fill: colour('power-fill'), width: 1.5, paths: steps, points: { show: false } }],
    }, columns, this.node);
  }

  bars() {
    const { colour } = plotLook();
    const columns = [this.periods.map((each) => each.start), this.periods.map((each) => each.kwh)];
    const ticks = (ts) => (startOfDay(ts) === ts ? day(ts, 0) : '');
    const width = this.name === 'weeks' ? 7 * 86400 : 86400;
    const options = this.options('kWh', ticks);
    const [first, last] = [columns[0][0], columns[0][columns[0].length - 1]];
    options.scales.x.range = [(first || 0) - width, (last || 0) + width];
    return new uPlot({
      ...options,
      series: [{}, { stroke: colour('power'), fill: colour('power'), width: 0, paths: uPlot.paths.bars({ size: [0.7, 60] }), points: { show: false } }],
    }, columns, this.node);
  }

  // The figure under the pointer; without one, the sum.
  tell(plot, unit) {
    const { idx } = plot.cursor;
    const ts = idx === null || idx === undefined ? null : plot.data[0][idx];
    const value = ts ? plot.data[1][idx] : null;
    if (value === null || value === undefined) {
      put(at('energy-sum'), this.sum);
      return;
    }
    const when = unit === 'kWh' ? this.label(ts) : `${this.label(ts)}, ${clock(ts)}`;
    const part = unit === 'kWh' ? this.periods[idx] : null;
    const lacking = part && this.name === 'days' && part.covered < 80000 && startOfDay(Date.now() / 1000) !== ts
      ? `, read for ${number(part.covered / 3600, 0)} of 24 hours` : '';
    put(at('energy-sum'), `${when}: ${number(value)} ${unit}${part ? `, highest ${number(part.peak)} kW` : ''}${lacking}`);
  }
}
