/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The panel about a cell of the file. */

/* What the byte at @offset of a table is part of, in words, and where that leads. */
function entryHere(offset, kind, at, guest) {
	if (kind === "L2 table" && guest !== null && at <= offset && offset < at + clusterSize)
		return l2EntryHere(at, guest, (offset - at) / l2EntrySize);
	if (kind === "L1 table" && offset >= l1At)
		return l1EntryHere((offset - l1At) / l1EntrySize);
	if (kind === "header" && offset > 0n)
		return fieldHere(Number(offset));
	return null;
}

function l2EntryHere(at, guest, index) {
	const from = guest + (index << clusterBits), entry = knownEntry(from);
	const mapped = entry && entry.host !== null && !geometry["data-file"];
	return { what: "L2 entry " + index + " at " + show(at + index * l2EntrySize),
		leads: [["of guest cluster", link("guest", from)],
			["to host cluster", mapped ? link("host", entry.host) : null]] };
}

function l1EntryHere(index) {
	const from = index << (l2Bits + clusterBits);
	return from >= big(geometry.size) ? null : {
		what: "L1 entry " + index + " at " + show(l1At + index * l1EntrySize),
		leads: [["from guest offset", link("guest", from)]] };
}

function fieldHere(byte) {
	const it = data.header.find((field) => field.at <= byte && byte < field.at + field.size);
	return it ? { what: it.name + " at " + show(it.at),
		leads: [["value", fieldValue(it)], ["meaning", it.meaning]] } : null;
}

function hostSample([i, at, guest, refcount, counts], offset, wanted) {
	const kind = kinds.host[i], from = big(at), shows = guest ? big(guest) : null;
	const here = entryHere(offset, kind.name, from, shows);
	const maps = kind.name === "L2 table" && shows !== null;
	/* As one of several owners, a snapshot is not the only one. */
	const name = kind.name === "data of snapshots only" ? "data of a snapshot" : kind.name;
	const span = 1n << (l2Bits + clusterBits);
	return el("div", { class: wanted ? "sample wanted" : "sample" },
		el("h3", {}, swatch(kind), name),
		terms(["host cluster", single(data.host) ? show(from) : link("host", from)],
			["refcount", given(refcount, String)],
			["shown at guest", shows !== null && !maps ? link("guest", shows) : null],
			["maps from guest", maps ? link("guest", shows) : null],
			["to guest", maps ? show(shows + span - 1n) : null],
			["counts from host", given(counts, (it) => link("host", big(it)))]),
		here ? el("h3", {}, here.what) : null, here ? terms(...here.leads) : null,
		kind.name !== "header" ? null :
			el("a", { class: "plain", href: "#header" }, "All fields"));
}

function drawHost(cell, i, offset) {
	const past = i === data.host.past, plain = single(data.host), list = pairs(cell[0]);
	const [from, to] = views.host.range(i);
	const wanted = ([, at]) => !plain && offset !== from &&
		big(at) >> clusterBits === offset >> clusterBits;
	return [panelTitle(kinds.host, list, past ? "Past the end of the file" :
			(plain ? "Host cluster " : "Host ") + show(from)),
		past ? null : note(mono("to " + show(to - 1n) + ", " + bytes(to - from))),
		past || offset === from ? null : el("p", {}, mono("chosen: " + show(offset))),
		plain && !past && cell[1].length ? null : countTable(kinds.host, list),
		...findingsHere("host", i, cell[2]),
		...(plain || past ? [] : samplesTitle(cell[1], "--host ")),
		...cell[1].map((sample) => hostSample(sample, offset, wanted(sample)))];
}
