/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The two maps, and the way from place to place. A place is "#host-50000" or "#guest-50000", an
 * offset in the file or on the guest disk: links lead there, the address of the page says which one
 * is chosen, and the browser's Back works.
 */
const views = { host: null, guest: null };
const place = (space, offset) => "#" + space + "-" + offset.toString(16);

function parsePlace(text) {
	const match = /^#(host|guest)-([0-9a-f]{1,16})$/.exec(text);
	const view = match ? views[match[1]] : null;
	const offset = match ? big(match[2]) : 0n;
	const i = view ? view.find(offset) : -1;
	return i < 0 ? null : { view, offset, i };
}

/* A link to a place, or the bare offset where no map has it. */
function link(space, offset, text) {
	const words = text || show(offset);
	if (!views[space] || views[space].find(offset) < 0)
		return mono(words);
	return el("a", { class: "go mono", href: place(space, offset) }, words + " \u2192");
}

/* ---- one map ---- */

/* The kind that gives a cell its letter: the commonest that is not simply free or unallocated. */
function chief(list) {
	let best = list.length ? list[0] : [0, 0];
	for (const item of list) {
		if (best[0] === 0 || (item[0] !== 0 && item[1] > best[1]))
			best = item;
	}
	return best[0];
}

/* A cell of several kinds is filled by their shares, from below, each large enough to be seen. */
function fill(node, palette, list) {
	const main = chief(list);
	paint(node, palette[main]);
	if (list.length < 2)
		return;
	const whole = list.reduce((sum, item) => sum + item[1], 0);
	const layers = list.slice().sort((a, b) => (a[0] === 0) - (b[0] === 0));
	const shares = layers.map((item) => Math.max(item[1] / whole, 0.15));
	const total = shares.reduce((sum, share) => sum + share, 0);
	let at = 0, middle = main;
	const stops = layers.map(([kind], i) => {
		const from = at;
		at += 100 * shares[i] / total;
		if (from <= 50 && at > 50)
			middle = kind;
		return palette[kind].ground + " " + from.toFixed(0) + "% " + at.toFixed(0) + "%";
	});
	node.style.backgroundImage = "linear-gradient(to top, " + stops.join(", ") + ")";
	if (middle === main)
		return;
	node.style.color = "var(--ink)";
	if (middle !== 0)
		node.classList.add("halo");
}

class View {
	constructor(space, draw) {
		this.space = space;
		this.map = data[space];
		this.draw = draw;
		this.box = document.getElementById(space);
		this.nodes = this.map.cells.map((cell, i) => this.make(cell, i));
		if (this.nodes.length)
			this.nodes[0].tabIndex = 0;
		this.box.addEventListener("click", (event) => {
			const node = event.target.closest(".cell");
			if (node)
				location.hash = place(space, this.range(Number(node.dataset.i))[0]);
		});
		this.box.addEventListener("keydown", (event) => this.key(event));
		this.arrange();
		new ResizeObserver(() => this.arrange()).observe(this.box);
		this.legend();
	}
	make(cell, i) {
		const list = pairs(cell[0]), text = this.describe(list, i) +
			(cell[2] ? "; " + plural(cell[2], "finding") : "");
		const node = el("button", { class: "cell", type: "button", "data-i": i,
			tabindex: -1, title: text, "aria-label": text });
		fill(node, kinds[this.space], list);
		node.classList.toggle("marked", cell[2] > 0);
		return node;
	}
	/* Cell @i is not as it was. */
	change(i) {
		const node = this.nodes[i], text = node.title + "; changed";
		if (node.classList.contains("changed"))
			return;
		node.classList.add("changed");
		node.title = text;
		node.setAttribute("aria-label", text);
	}
	describe(list, i) {
		const [from, to] = this.range(i), many = clustersOfCell(this.map) > 1;
		const where = i === this.map.past ? "past the end of the file" :
			show(from) + " to " + show(to - 1n);
		const what = list.map(([kind, n]) => kinds[this.space][kind].name +
			(many ? " " + count(n) : ""));
		return where + ": " + (what.join(", ") || "nothing");
	}
	/* The bytes of cell @i: from, to. */
	range(i) {
		const first = BigInt(i) << BigInt(this.map.bits);
		return [first, first + (1n << BigInt(this.map.bits))];
	}
	/* The cell of a byte offset; -1 when this map does not show it. */
	find(offset) {
		const i = offset >> BigInt(this.map.bits), past = this.map.past;
		if (i < BigInt(past === undefined ? this.nodes.length : past))
			return Number(i);
		return past !== undefined && past < this.nodes.length ? past : -1;
	}
	/* A row has a power of two of cells: it begins at a round offset, which stands beside. */
	arrange() {
		const labels = innerWidth > 600;
		const digits = show(this.range(Math.max(this.nodes.length - 1, 0))[0]).length;
		const room = this.box.clientWidth - 6 - (labels ? digits * 7 + 8 : 0);
		const least = this.nodes.length > 256 ? 12 : 22;
		let columns = 1;
		while (columns * 2 * least <= room && columns < this.nodes.length)
			columns *= 2;
		const size = Math.min(room / columns - 1, 34);
		this.box.style.setProperty("--cell", size.toFixed(1) + "px");
		if (columns === this.columns && labels === this.labels)
			return;
		this.columns = columns;
		this.labels = labels;
		this.box.style.gridTemplateColumns = (labels ? "max-content " : "") +
			"repeat(" + columns + ", minmax(0, 34px))";
		const focused = document.activeElement;
		this.box.replaceChildren(...this.nodes.flatMap((node, i) =>
			labels && i % columns === 0 ? [this.label(i), node] : [node]));
		if (this.box.contains(focused))
			focused.focus({ preventScroll: true });
	}
	/* The offset of the row that starts with cell @i; of many rows, of every fourth. */
	label(i) {
		const dense = this.nodes.length > 20 * this.columns && i % (4 * this.columns) !== 0;
		return el("span", { class: "row", "aria-hidden": "true" },
			dense || i === this.map.past ? "" : show(this.range(i)[0]));
	}
	key(event) {
		const at = Number((event.target.dataset || {}).i);
		const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -this.columns,
			ArrowDown: this.columns, Home: -at, End: this.nodes.length - 1 - at };
		const chord = event.ctrlKey || event.altKey || event.metaKey;
		if (!(event.key in steps) || isNaN(at) || chord)
			return;
		event.preventDefault();
		const to = at + steps[event.key];
		if (to < 0 || to >= this.nodes.length)
			return;
		this.reach(to);
		this.nodes[to].focus();
	}
	/* Tab enters the map at cell @i. */
	reach(i) {
		const old = this.nodes.find((node) => node.tabIndex === 0);
		if (old)
			old.tabIndex = -1;
		this.nodes[i].tabIndex = 0;
	}
	legend() {
		const sums = new Map();
		for (const cell of this.map.cells) {
			for (const [kind, n] of pairs(cell[0]))
				sums.set(kind, (sums.get(kind) || 0) + n);
		}
		const items = [...sums].sort((a, b) => a[0] - b[0]).map(([i, n]) => {
			const kind = kinds[this.space][i];
			const button = el("button", { type: "button", "aria-pressed": "false",
				title: kind.note }, swatch(kind), kind.name + " ",
				el("span", { class: "dim" }, count(n)));
			button.addEventListener("click", () => this.pick(i, button));
			return el("li", { "data-kind": kind.name, "data-count": n }, button);
		});
		if (this.map.cells.some((cell) => cell[2])) {
			const mark = el("span", { class: "swatch marked", "aria-hidden": "true" });
			items.push(el("li", { class: "key" }, mark, "a finding is here"));
		}
		if (this.nodes.some((node) => node.classList.contains("changed"))) {
			const mark = el("span", { class: "swatch changed", "aria-hidden": "true" });
			items.push(el("li", { class: "key" }, mark, "changed"));
		}
		document.getElementById(this.space + "-legend").replaceChildren(...items);
	}
	/* Only the cells with this kind in full; the same again, and all are. */
	pick(kind, button) {
		const on = button.getAttribute("aria-pressed") !== "true";
		for (const other of button.closest("ul").querySelectorAll("button"))
			other.setAttribute("aria-pressed", String(on && other === button));
		this.box.classList.toggle("picking", on);
		this.nodes.forEach((node, i) => node.classList.toggle("picked",
			pairs(this.map.cells[i][0]).some((item) => item[0] === kind)));
	}
}

/* ---- choosing ---- */

function unmark() {
	for (const node of document.querySelectorAll(".cell.on, .cell.kin")) {
		node.classList.remove("on", "kin");
		node.removeAttribute("aria-current");
	}
}

/* Show the place: its cell, all about it in the panel, and the cells that this leads to. */
function choose({ view, offset, i }) {
	const panel = document.getElementById("detail");
	unmark();
	view.reach(i);
	view.nodes[i].classList.add("on");
	view.nodes[i].setAttribute("aria-current", "true");
	panel.replaceChildren(...view.draw(view.map.cells[i], i, offset).filter((node) => node));
	panel.scrollTop = 0;
	for (const leads of panel.querySelectorAll("a.go")) {
		const to = parsePlace(leads.getAttribute("href"));
		if (to && !(to.view === view && to.i === i))
			to.view.nodes[to.i].classList.add("kin");
	}
}

/* What is chosen where the page's address names no place: the first thing to see. */
let home = null;

/* Where the page's address points. The keyboard goes on in the panel, unless it is in a map. */
function follow() {
	const to = location.hash ? parsePlace(location.hash) : home;
	if (!to)
		return;
	choose(to);
	to.view.nodes[to.i].scrollIntoView({ block: "nearest" });
	if (!document.activeElement.closest(".map"))
		document.getElementById("detail").focus({ preventScroll: true });
}

function parseOffset(text) {
	const match = /^\s*(0x[0-9a-f]+|[0-9]+)([kmgtp]?)\s*$/i.exec(text);
	const shift = match ? 10 * " kmgtp".indexOf(match[2].toLowerCase() || " ") : 0;
	return match ? BigInt(match[1]) << BigInt(shift) : null;
}

function find(event) {
	const form = event.currentTarget, input = form.querySelector("input");
	const offset = parseOffset(input.value);
	const to = offset === null ? null : parsePlace(place(form.dataset.space, offset));
	event.preventDefault();
	input.setCustomValidity(to ? "" : offset === null ? "An offset: 4096, 0x1000, 4k" :
		"Behind the end");
	input.toggleAttribute("aria-invalid", !to);
	if (!to)
		input.reportValidity();
	else if (location.hash === place(form.dataset.space, offset))
		follow();
	else
		location.hash = place(form.dataset.space, offset);
}

/* From the place in the page's address, or from @first. */
function start(first) {
	home = parsePlace(first);
	if (parsePlace(location.hash))
		follow();
	else
		choose(home);
	window.addEventListener("hashchange", follow);
	/* A link to where the page already is changes no address. */
	document.addEventListener("click", (event) => {
		const leads = event.target.closest("a.go");
		if (leads && leads.getAttribute("href") === location.hash)
			follow();
	});
	for (const form of document.querySelectorAll("form.find")) {
		form.addEventListener("submit", find);
		form.addEventListener("input", (event) => {
			event.target.setCustomValidity("");
			event.target.removeAttribute("aria-invalid");
		});
	}
}
