/* SPDX-License-Identifier: GPL-2.0-or-later */
"use strict";
/* The data, and what all parts of the page make of it: numbers, elements, the looks of kinds. */

/*
 * Names come from the image. As text they can do no harm but one: control characters, and those
 * that change the direction of writing, would let a name pass for another. They become numbers.
 */
const unseen = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g;
const visible = (text) => text.replace(unseen,
	(c) => "\\u" + c.charCodeAt(0).toString(16).padStart(4, "0"));
const data = JSON.parse(document.getElementById("data").textContent,
	(key, value) => typeof value === "string" ? visible(value) : value);

/* ---- numbers: offsets are hexadecimal digits in the data, and BigInts here ---- */

const big = (hex) => BigInt("0x" + hex);
const show = (value) => "0x" + value.toString(16);
const wide = (value, digits) => "0x" + value.toString(16).padStart(digits, "0");
const count = (n) => Number(n).toLocaleString("en");
const plural = (n, one, many) => count(n) + " " + (Number(n) === 1 ? one : many || one + "s");

function bytes(value) {
	const units = ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
	let n = Number(value), i = 0;
	for (; n >= 1024 && i < units.length - 1; i++)
		n /= 1024;
	return (Math.round(n * 100) / 100).toLocaleString("en") + " " + units[i];
}

function percent(part, whole) {
	const n = 100 * Number(part) / Number(whole);
	if (n > 0 && n < 0.1)
		return "< 0.1 %";
	return n > 99.9 && n < 100 ? "> 99.9 %" : n.toFixed(1) + " %";
}

/* @make of a value that is there, else null. */
const given = (value, make) => value === undefined || value === null ? null : make(value);

/* [a, 1, b, 2] as [[a, 1], [b, 2]] */
function pairs(list) {
	const out = [];
	for (let i = 0; i < list.length; i += 2)
		out.push([list[i], Number(list[i + 1])]);
	return out;
}

/* ---- elements ---- */

function el(tag, attributes, ...children) {
	const node = document.createElement(tag);
	for (const [key, value] of Object.entries(attributes || {}))
		node.setAttribute(key, value);
	node.append(...children.filter((child) => child !== null && child !== undefined));
	return node;
}

const mono = (...children) => el("span", { class: "mono" }, ...children);

/* Pairs of a name and a value; without the pairs that have none. */
function terms(...items) {
	const out = el("dl");
	for (const [name, ...values] of items) {
		if (values[0] !== null && values[0] !== undefined)
			out.append(el("dt", {}, name), el("dd", { class: "mono" }, ...values));
	}
	return out;
}

/*
 * @columns: titles, and what they hold: "mono", "word" or "text", which may be long. A row that has
 * too few cells ends with one that is wide.
 */
function table(columns, rows) {
	const titles = Object.keys(columns), kinds = Object.values(columns);
	const cell = (content, i, row) => el("td", {
		class: kinds[i], "data-title": titles[i],
		colspan: i < row.length - 1 ? 1 : titles.length - i }, content);
	return el("div", { class: "scroll" }, el("table", {},
		el("thead", {}, el("tr", {}, ...titles.map((title) =>
			el("th", { scope: "col" }, title)))),
		el("tbody", {}, ...rows.map((row) => el("tr", {}, ...row.map(cell))))));
}

/* ---- kinds ---- */

/*
 * How a kind looks: letter, colour of the ground (null: the page's own), colour of the letter,
 * pattern, and a note. The colours stay apart for the colour-blind (after Okabe and Ito); letter
 * and pattern say the same without any colour.
 */
const looks = {
	host: {
		"free": ["", null, null, "", "no refcount, no owner"],
		"header": ["H", "#000000", "#ffffff", ""],
		"refcount table": ["T", "#7a4fa3", "#ffffff", ""],
		"refcount block": ["B", "#b58fd6", "#000000", "up"],
		"L1 table": ["1", "#004f7c", "#ffffff", ""],
		"L2 table": ["2", "#0072b2", "#ffffff", "up"],
		"data": ["D", "#f0b429", "#000000", ""],
		"compressed data": ["C", "#22a884", "#000000", "down"],
		"snapshot table, its L1 and L2": ["S", "#8c4a00", "#ffffff", ""],
		"data of snapshots only": ["s", "#d98f4a", "#000000", "down"],
		"bitmaps": ["M", "#cc79a7", "#000000", ""],
		"encryption header": ["E", "#404040", "#ffffff", "up"],
		"leaked": ["X", "#e8743b", "#000000", "cross", "it has a refcount, but no owner"],
		"past the end of the file": [">", "#e8743b", "#000000", "cross", "and not there"],
	},
	guest: {
		"unallocated": ["", null, null, "", "read from the backing file, or as zeros"],
		"unallocated, preallocated": ["p", "#f7e3ae", "#000000", "up"],
		"zero": ["0", "#b4d6ee", "#000000", ""],
		"zero, preallocated": ["z", "#7db9e0", "#000000", "down"],
		"data": ["D", "#f0b429", "#000000", ""],
		"compressed": ["C", "#22a884", "#000000", "down"],
		"mixed": ["m", "#b58fd6", "#000000", "cross", "its subclusters differ"],
		"invalid": ["?", "#e8743b", "#000000", "cross", "entry or L2 table breaks a rule"],
		"not looked at": ["-", "#666666", "#ffffff", "down"],
	},
};
const stripes = (angle, dark) => "repeating-linear-gradient(" + angle + "deg, rgba(0,0,0," + dark +
	") 0 2px, transparent 2px 5px)";
const patterns = { up: stripes(45, .16), down: stripes(-45, .16), cross: stripes(90, .2) };

function kindsOf(space) {
	return (data[space] ? data[space].kinds : []).map((name) => {
		const [letter, ground, ink, pattern, note] = looks[space][name];
		return { name, letter, ground: ground || "var(--free)", ink: ink || "var(--ink)",
			pattern: pattern ? patterns[pattern] : "", note: note || "" };
	});
}
const kinds = { host: kindsOf("host"), guest: kindsOf("guest") };
const guestKind = Object.fromEntries(kinds.guest.map((kind, i) => [kind.name, i]));

function paint(node, kind) {
	node.textContent = kind.letter;
	node.style.backgroundColor = kind.ground;
	node.style.color = kind.ink;
	node.style.backgroundImage = kind.pattern;
	return node;
}

const swatch = (kind) => paint(el("span", { class: "swatch", "aria-hidden": "true" }), kind);

/* ---- geometry ---- */

const geometry = data.geometry;
const clusterBits = geometry ? BigInt(geometry["cluster-bits"]) : 0n;
const clusterSize = 1n << clusterBits;
const l2Bits = geometry ? BigInt(geometry["l2-bits"]) : 0n;
const l2EntrySize = geometry ? BigInt(geometry["l2-entry-size"]) : 0n;
const field = (name) => data.header.find((it) => it.name === name);
const l1At = geometry ? big(geometry.l1) : 0n;
const l1EntrySize = 8n;
const clustersOfCell = (map) => 2 ** (map.bits - geometry["cluster-bits"]);
