/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The panel about a cell of the guest disk: subclusters, and the way through the tables. */

/* ---- L2 entries ---- */

/* One of the samples. */
function entryOf([cluster, kind, at, raw, host, length, copied, bitmap, error]) {
	const number = BigInt(cluster);
	return { number, kind, length, copied, from: number << clusterBits,
		at: big(at), raw: big(raw), error: error || "",
		host: given(host, big), bitmap: given(bitmap, big),
		l1: number >> l2Bits, l2: number & ((1n << l2Bits) - 1n),
		compressed: kind === guestKind.compressed };
}

/* The entry of a guest cluster, if it is among the samples. */
function knownEntry(guest) {
	const i = views.guest.find(guest);
	const sample = i < 0 ? null : data.guest.cells[i][1].find(([cluster]) =>
		BigInt(cluster) === guest >> clusterBits);
	return sample ? entryOf(sample) : null;
}

/*
 * How each subcluster reads: bit s of the bitmap says data, bit 32 + s zero. Both, or data without
 * a host cluster, break a rule; where another rule is broken, the entry cannot be taken apart.
 */
function subclusters(entry) {
	if (!geometry.extended || entry.compressed)
		return [entry.kind];
	const bit = (n) => (entry.bitmap >> BigInt(n)) & 1n;
	const homeless = entry.error && !(entry.raw & 0x00fffffffffffe00n);
	const all = Array.from({ length: geometry.subclusters }, (_, s) =>
		bit(s) && (bit(s + 32) || homeless) ? guestKind.invalid :
			bit(s) ? guestKind.data : bit(s + 32) ? guestKind.zero :
				guestKind.unallocated);
	return entry.error && !all.includes(guestKind.invalid) ? [entry.kind] : all;
}

/* The bits of the entry, as the format has them. */
function entryBits(entry) {
	const raw = ["raw", wide(entry.raw, 16)];
	if (entry.error)
		return terms(raw, ["bitmap", given(entry.bitmap, (bitmap) => wide(bitmap, 16))],
			["rule broken", entry.error]);
	return entry.compressed ? compressedBits(entry, raw) : terms(raw, ...standardBits(entry));
}

function standardBits(entry) {
	const half = (n) => wide((entry.bitmap >> BigInt(n)) & 0xffffffffn, 8);
	const copied = entry.copied ? "1, COPIED: refcount 1, a write may change it in place" :
		entry.host === null ? "0" : "0, not COPIED: a write must copy it first";
	const bits = [["bit 63", copied], ["bit 62", "0, not compressed"],
		["bits 9\u201355", entry.host === null ? "0, no host cluster" :
			show(entry.host >> 9n) + " << 9 = " + show(entry.host)]];
	if (geometry.extended)
		bits.push(["allocated", half(0) + " (bits 0\u201331)"],
			["zero", half(32) + " (bits 32\u201363)"]);
	else
		bits.push(["bit 0", entry.raw & 1n ? "1, reads as zero" : "0, no zero flag"]);
	return bits;
}

/* The wider the clusters, the more bits count sectors. */
function compressedBits(entry, raw) {
	const split = 70n - clusterBits;
	const sectors = (entry.raw >> split) & ((1n << (62n - split)) - 1n);
	return terms(raw, ["bit 62", "1, compressed"],
		["bits " + split + "\u201361", plural(sectors, "more sector") + ": up to " +
			plural(entry.length, "byte")],
		["bits 0\u2013" + (split - 1n), "stream at host " + show(entry.host)]);
}

/* ---- drawn ---- */

/* Which subcluster holds the guest byte @offset. */
const subclusterOf = (entry, offset) =>
	Number((offset - entry.from) / (clusterSize / BigInt(subclusters(entry).length)));

/* Subclusters are a group with one stop of the Tab key, the chosen one, and arrows within. */
function subclusterKey(event) {
	const all = [...event.currentTarget.children], at = all.indexOf(event.target);
	const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -8, ArrowDown: 8, Home: -at,
		End: all.length - 1 - at };
	const to = all[at + steps[event.key]];
	if (at < 0 || !to || event.ctrlKey || event.altKey || event.metaKey)
		return;
	event.preventDefault();
	event.target.tabIndex = -1;
	to.tabIndex = 0;
	to.focus();
}

/* @offset: the chosen guest byte, null where it is in another cluster. */
function drawSubclusters(entry, offset) {
	const all = subclusters(entry), size = clusterSize / BigInt(all.length);
	const name = (kind) => kinds.guest[kind].name;
	if (all.length === 1) {
		const node = paint(el("div", { class: "sub" }), kinds.guest[all[0]]);
		node.append(el("small", {}, name(all[0]) + ", " + bytes(size)));
		return el("div", { class: "subs one" }, node);
	}
	const box = el("div", { class: "subs", role: "group",
		"aria-label": plural(all.length, "subcluster") });
	const here = offset === null ? -1 : subclusterOf(entry, offset);
	all.forEach((kind, s) => {
		const from = entry.from + BigInt(s) * size;
		const title = "subcluster " + s + ", guest " + show(from) + " to " +
			show(from + size - 1n) + ": " + name(kind) + (s === here ? "; chosen" : "");
		const node = paint(el("button", { class: "sub", type: "button", title,
			"aria-label": title, tabindex: s === Math.max(here, 0) ? 0 : -1 }),
			kinds.guest[kind]);
		node.textContent ||= "\u00b7";
		node.append(el("small", {}, String(s)));
		node.addEventListener("click", () => chooseSubcluster(from));
		if (s === here) {
			node.classList.add("here");
			node.setAttribute("aria-current", "true");
		}
		box.append(node);
	});
	box.addEventListener("keydown", subclusterKey);
	return box;
}

function subclusterNote(entry) {
	const all = subclusters(entry), size = clusterSize / BigInt(all.length);
	const words = ["data", "zero", "unallocated", "invalid"].map((name) =>
		[all.filter((kind) => kind === guestKind[name]).length, name]).filter(([n]) => n);
	return all.length === 1 ? null : note(all.length + " subclusters of " + bytes(size) + ": " +
		words.map((pair) => pair.join(" ")).join(", "));
}

const step = (title, leads, ...more) => el("li", {}, el("b", {}, title), " ", leads, ...more);

/* Choose the guest byte @from; the keyboard stays at its subcluster in the new panel. */
function chooseSubcluster(from) {
	window.addEventListener("hashchange", () => {
		const node = document.querySelectorAll("#detail .sub.here")[0];
		if (node)
			node.focus({ preventScroll: true });
	}, { once: true });
	location.hash = place("guest", from);
}

/* Where the chosen guest byte lies in its host cluster, and whether it is read from there. */
function byteHere(entry, offset) {
	if (offset === null || entry.error || entry.compressed)
		return null;
	const s = subclusterOf(entry, offset), kind = subclusters(entry)[s];
	const named = geometry.extended ? "subcluster " + s : "it";
	const words = kinds.guest[kind].name;
	if (entry.host === null)
		return note("guest byte " + show(offset) + ": " + named + " is " + words +
			", no host byte");
	const at = entry.host + offset - entry.from;
	const plain = geometry["data-file"] || offset === entry.from;
	const leads = plain ? mono(show(at)) : link("host", at);
	return el("div", {}, "guest byte ", mono(show(offset)), ": host byte ", leads,
		kind === guestKind.data ? "" : ", preallocated, but not read: " + named + " is " +
			words.split(",")[0]);
}

function hostStep(entry, offset) {
	const size = clusterSize / BigInt(geometry.subclusters);
	if (entry.error || entry.host === null)
		return null;
	const leads = geometry["data-file"] ?
		mono(show(entry.host) + " in the external data file") : link("host", entry.host);
	return step(entry.compressed ? "Compressed stream" : "Host cluster", leads,
		geometry.extended && !entry.compressed ? el("div", { class: "dim" },
			"subcluster s starts s \u00d7 " + show(size) + " bytes further") : null,
		byteHere(entry, offset));
}

const l1Step = (index, ...more) =>
	step("L1 entry " + index, link("host", l1At + index * l1EntrySize), ...more);

/* From the guest cluster through the tables. */
function way(entry, offset) {
	const entries = 1n << l2Bits, table = entry.at - entry.l2 * l2EntrySize;
	return el("ol", { class: "way" },
		l1Step(entry.l1, el("div", { class: "dim" },
			"cluster " + entry.number + " / " + entries + " entries of an L2 table")),
		step("L2 entry " + entry.l2, link("host", entry.at),
			el("div", { class: "dim" }, "cluster " + entry.number + " mod " + entries +
				", in the table at " + show(table)), entryBits(entry)),
		entry.host === null ? byteHere(entry, offset) : hostStep(entry, offset));
}

function guestSample(sample, titled, wanted, offset) {
	const entry = entryOf(sample), name = "Guest cluster " + show(entry.from);
	return el("div", { class: !titled ? "" : wanted ? "sample wanted" : "sample" },
		titled ? el("h3", {}, swatch(kinds.guest[entry.kind]), name) : null,
		drawSubclusters(entry, offset), subclusterNote(entry), way(entry, offset));
}

/* A place without an entry to show: there is no table, or the entries are zero. */
function noEntry(offset) {
	return [el("p", {}, (single(data.guest) ? "Its L2 entry is" : "All L2 entries here are") +
			" zero, or there is no L2 table: " + (data.backing === null ?
			"it reads as zeros." : "the backing file is read.")),
		el("ol", { class: "way" }, l1Step((offset >> clusterBits) >> l2Bits))];
}

function drawGuest(cell, i, offset) {
	const plain = single(data.guest), size = big(geometry.size), list = pairs(cell[0]);
	const [from, end] = views.guest.range(i), to = end < size ? end : size;
	const mine = ([cluster]) => BigInt(cluster) === offset >> clusterBits;
	const samples = cell[1].slice().sort((a, b) => mine(b) - mine(a));
	const unallocated = list.length === 1 && list[0][0] === guestKind.unallocated &&
		!samples.length;
	const elsewhere = samples.length && !samples.some(mine);
	return [panelTitle(kinds.guest, list, (plain ? "Guest cluster " : "Guest ") + show(from)),
		note(mono("to " + show(to - 1n) + ", " + bytes(to - from) +
			(plain ? ", number " + (from >> clusterBits) : ""))),
		offset === from ? null : el("p", {}, mono("chosen: " + show(offset) +
			(elsewhere ? ", which is not one of the clusters shown" : ""))),
		plain ? null : countTable(kinds.guest, list),
		...findingsHere("guest", i, cell[2]), ...(unallocated ? noEntry(offset) : []),
		...(plain ? [] : samplesTitle(samples, "")),
		...samples.map((sample) => guestSample(sample, !plain || samples.length > 1,
			offset !== from && mine(sample), mine(sample) ? offset : null))];
}
