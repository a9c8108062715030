/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the panel says of a cell of either map. */

const note = (...children) => el("p", { class: "dim" }, ...children);
const single = (map) => clustersOfCell(map) === 1;

function panelTitle(palette, list, text) {
	return el("h2", {}, list.length === 1 ? swatch(palette[list[0][0]]) : null, text);
}

function countTable(palette, list) {
	const whole = list.reduce((sum, item) => sum + item[1], 0);
	return el("table", { class: "counts" }, ...list.map(([i, n]) => el("tr", {},
		el("td", {}, swatch(palette[i]), palette[i].name),
		el("td", { class: "num" }, count(n)),
		el("td", { class: "num" }, percent(n, whole)))));
}

function findingsHere(space, i, number) {
	if (!number)
		return [];
	const here = data.check.list.filter((it) =>
		it[space + "-offset"] !== undefined &&
		views[space].find(big(it[space + "-offset"])) === i);
	const shown = here.slice(0, 3), more = number - shown.length;
	return [el("h3", {}, plural(number, "finding") + " here"),
		findingList(shown),
		more > 0 ? note(count(more) + " more: see the list, or q2s-inspect check") : null];
}

/* A cell of many clusters shows a few of them; the command knows them all. */
function samplesTitle(samples, option) {
	return samples.length ? [el("h3", {}, "Some of these clusters"),
		note("Any other: ", mono("q2s-inspect explain " + option + "OFFSET FILE"))] : [];
}
