/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What tests/cli/inspect-report-browser.sh asks of a page, in the terms of other verbs' JSON. */
const all = (selector, from) => [...(from || document).querySelectorAll(selector)];
const text = (selector) => document.querySelector(selector).textContent;

/* Where links lead: [map, offset] */
const places = (links) => links.map((it) => it.getAttribute("href").slice(1).split("-"))
	.map(([map, hex]) => [map, parseInt(hex, 16)]);

/* The cells that a selector finds: [map, number] */
const cells = (selector) => all(selector).map((it) =>
	[it.parentElement.id, Number(it.dataset.i)]);

/* The place in the page's address, the chosen cells, and the title of the panel. */
const chosen = () => [location.hash, cells(".cell[aria-current=true]"),
	document.querySelector("#detail h2").lastChild.textContent];

/* Of each guest cluster: its subclusters; where its L2 entry and its host cluster are. */
const clusters = () => data.guest.cells.map((cell, i) => {
	choose(parsePlace(place("guest", views.guest.range(i)[0])));
	const letters = all("#detail .sub").map((it) => it.firstChild.data).join("");
	return [letters.replaceAll("\u00b7", "."),
		...places(all("#detail .way li + li a")).map(([map, offset]) => offset)];
});

const legendOf = (map) => all("#" + map + "-legend [data-kind]").map((it) =>
	[it.dataset.kind, Number(it.dataset.count)]);

const fields = () => all("#header tbody tr").map(({ cells: [, name, value] }) =>
	[name.textContent, parseInt(value.textContent)]);

const findings = () => all("#findings li").map((li) =>
	[li.className, li.querySelector("b").textContent, ...places(all("a", li))]);

/* The marked subclusters, and where the link of the chosen byte leads. */
const here = () => all("#detail .sub.here small").map((it) => Number(it.textContent));
const byteLinks = () => places(all("#detail .way li:last-child div:last-child a"));

/* What explains the changes: words, and where they lead. */
const changes = () => all("#changes > div li").map((it) =>
	[it.querySelector(".mono").textContent, places(all("a", it))]);

/* What is wider than its own box that scrolls. */
const cutOff = () => all(".scroll, .card, .fact").filter((it) => it.scrollWidth > it.clientWidth + 1)
	.map((it) => it.textContent.slice(0, 80));

/* ---- contrast, as WCAG 2 defines it ---- */

const rgb = (colour) => colour.match(/[0-9.]+/g).map(Number);

function luminance(colour) {
	const [r, g, b] = colour.map((part) => part / 255).map((part) =>
		part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
	return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

/* The colour behind the text of @node: its own, or of what it stands on. */
function ground(node) {
	const colour = rgb(getComputedStyle(node).backgroundColor);
	return colour.length === 3 || colour[3] === 1 ? colour : ground(node.parentElement);
}

function contrast(node) {
	const shades = [rgb(getComputedStyle(node).color), ground(node)].map(luminance);
	return (Math.max(...shades) + 0.05) / (Math.min(...shades) + 0.05);
}

/* Texts of less than 4.5 to 1; those of cells of several colours are left out. */
const hardToRead = () => all("body *").filter((node) => node.checkVisibility() &&
	[...node.childNodes].some((it) => it.nodeType === Node.TEXT_NODE && it.data.trim()) &&
	!getComputedStyle(node).backgroundImage.startsWith("linear") && contrast(node) < 4.5)
	.map((node) => [contrast(node), node.textContent]);
