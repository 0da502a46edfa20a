// One row a circuit, made once and changed in place: nothing on the page moves.

import { at, kw, make, number, put } from './format.js';

const WORDS = { on: 'On', off: 'Off', shed: 'Shed', limited: 'Limited', unread: 'Not read' };
const MANY = 16;

// What an event does to a circuit is not always a limit.
function stateWord(circuit) {
  if (circuit.state === 'limited' && circuit.shed) {
    if (circuit.shed.shed_kw < 0) return 'Raised';
    if (circuit.control === 'setpoint') return 'Set back';
    if (circuit.control === 'power') return circuit.shed.final_kw < 0 ? 'Gives' : 'Held';
  }
  return WORDS[circuit.state] || circuit.state;
}

// What it draws, and of how much; a battery gives, and a raised load draws more than it did.
function powerWord(circuit) {
  const was = circuit.shed && circuit.control !== 'power' ? circuit.shed.original_kw : null;
  if (was === null) return kw(circuit.power_kw, 2);
  return circuit.shed.shed_kw < 0 ? `${kw(circuit.power_kw)}, was ${number(was)}` : `${number(circuit.power_kw)} of ${kw(was)}`;
}

const PRIORITIES = ['1 last', '2', '3', '4', '5 first'];

const cell = (name, ...children) => make('td', { role: 'cell', class: name }, ...children);

class Row {
  constructor(circuit, wanted) {
    this.circuit = circuit;
    this.name = make('button', { type: 'button', class: 'open', title: 'Its curve' });
    this.tag = make('span', { class: 'tag' });
    this.reason = make('p');
    this.flexible = make('p', { class: 'flexible' });
    this.power = make('span');
    this.bar = make('div', { class: 'bar', 'aria-hidden': 'true' }, make('i'), make('b'));
    this.chip = make('span', { class: 'chip' });
    this.priority = make('select', {}, ...PRIORITIES.map((text, index) => make('option', { value: index + 1 }, text)));
    this.toggle = make('button', { type: 'button', role: 'switch', class: 'switch' });
    this.node = make('tr', { role: 'row' },
      cell('row-name', make('div', {}, this.name, this.tag), this.reason, this.flexible), cell('row-power', this.power, this.bar),
      cell('row-state', this.chip), cell('row-priority', this.priority), cell('row-switch', this.toggle));
    this.name.addEventListener('click', () => wanted.opened(this.circuit));
    this.toggle.addEventListener('click', () => wanted.switched(this.circuit, this));
    this.priority.addEventListener('change', () => wanted.ranked(this.circuit, Number(this.priority.value), this));
  }

  show(circuit) {
    this.circuit = circuit;
    put(this.name, circuit.name);
    this.tag.hidden = !circuit.critical;
    put(this.tag, 'critical');
    put(this.reason, circuit.reason || '');
    const flexible = (circuit.flexibility && circuit.flexibility.text) || '';
    put(this.flexible, flexible);
    this.flexible.hidden = !flexible;
    const draws = circuit.power_kw;
    const was = circuit.shed ? circuit.shed.original_kw : null;
    put(this.power, powerWord(circuit));
    const share = (value) => Math.min(1, Math.max(0, (value || 0) / circuit.capacity_kw));
    this.bar.style.setProperty('--part', share(draws));
    this.bar.style.setProperty('--was', share(was));
    this.node.classList.toggle('was-more', was !== null);
    this.words = `${circuit.name} ${circuit.id} ${circuit.type} ${stateWord(circuit)}`.toLowerCase();
    put(this.chip, stateWord(circuit));
    this.chip.className = `chip ${circuit.state}`;
    if (document.activeElement !== this.priority) this.priority.value = String(circuit.priority);
    this.priority.setAttribute('aria-label', `Priority of ${circuit.name}`);
    this.toggle.setAttribute('aria-label', circuit.name);
    this.priority.hidden = circuit.control === 'none'; // it is only measured
    this.toggle.hidden = !circuit.switchable && circuit.enabled === null; // it has no contactor
    this.toggle.title = circuit.switchable ? '' : 'This circuit is not switched from here.';
    this.allow(this.may);
    if (!this.toggle.classList.contains('busy')) {
      this.toggle.setAttribute('aria-checked', circuit.enabled === null ? 'mixed' : String(circuit.enabled));
    }
  }

  allow(may) {
    this.may = may;
    this.priority.disabled = !may || this.circuit.critical;
    this.toggle.disabled = !may || !this.circuit.switchable;
  }
}

export class Circuits {
  constructor(wanted) {
    this.wanted = wanted;
    this.rows = new Map();
    this.may = false;
    at('find').addEventListener('input', () => this.find());
  }

  nameOf(id) {
    const row = this.rows.get(id);
    return row ? row.circuit.name : id;
  }

  // Only those that are looked for. A large panel scrolls in its card, and can be searched.
  find() {
    const wanted = at('find').value.trim().toLowerCase();
    let shown = 0;
    for (const row of this.rows.values()) {
      row.node.hidden = !row.words.includes(wanted);
      shown += row.node.hidden ? 0 : 1;
    }
    const count = this.rows.size === 1 ? '1 circuit' : `${this.rows.size} circuits`;
    put(at('circuits-sum'), wanted ? `${shown} of ${count}` : `${count}, ${kw(this.couldKw)} could be shed now`);
  }

  arrange() {
    const many = this.rows.size > MANY;
    at('find-label').hidden = !many;
    if (!many) at('find').value = '';
    const box = at('rows');
    box.classList.toggle('many', many);
    for (const [name, value] of [['tabindex', '0'], ['role', 'region'], ['aria-labelledby', 'circuits-title']]) {
      if (many) box.setAttribute(name, value);
      else box.removeAttribute(name);
    }
    const none = make('tr', { role: 'row' }, make('td', { role: 'cell', colspan: 5, class: 'quiet none' },
      'No circuits are configured: the power of the panel is all that is seen.'));
    at('circuits').replaceChildren(...(this.rows.size ? [...this.rows.values()].map((row) => row.node) : [none]));
  }

  show(circuits) {
    const ids = circuits.map((circuit) => circuit.id).join('\n');
    if (ids !== this.ids) { // the configuration changed
      this.ids = ids;
      this.rows = new Map(circuits.map((circuit) => [circuit.id, this.rows.get(circuit.id) || new Row(circuit, this.wanted)]));
      this.arrange();
    }
    for (const circuit of circuits) this.rows.get(circuit.id).show(circuit);
    this.allow(this.may);
    this.couldKw = circuits.reduce((sum, circuit) => sum + circuit.shed_capability_kw, 0);
    this.find();
    put(at('able'), this.couldKw > 0
      ? `Up to ${kw(this.couldKw)} can be shed now. Flexible circuits go first, critical ones last.`
      : 'Nothing can be shed now: the circuits say why.');
  }

  allow(may) {
    this.may = may;
    for (const row of this.rows.values()) row.allow(may);
  }
}
