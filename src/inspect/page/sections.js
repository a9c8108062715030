/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The rest of the page, and its start. */

/* ---- findings ---- */

function findingItem(it) {
	const leads = (space) => given(it[space + "-offset"], (offset) =>
		link(space, big(offset), space + " " + show(big(offset))));
	const values = given(it.found, (found) => mono("(found " + show(big(found)) +
		", expected " + show(big(it.expected)) + ")"));
	return el("li", { class: it.severity }, el("div", { class: "line" },
		el("span", { class: "tag" }, it.severity), el("b", {}, it.id), leads("host"),
		leads("guest")), el("div", {}, it.structure + ": " + it.text + " ", values));
}

const findingList = (list) => el("ul", { class: "findings" }, ...list.map(findingItem));

function verdict() {
	const check = data.check;
	if (data.fault)
		return ["bad", "refused"];
	if (!check || check.fault)
		return ["bad", "not checked"];
	if (check.corruptions)
		return ["bad", plural(check.corruptions, "corruption")];
	if (!check.complete)
		return ["bad", "check incomplete"];
	return check.leaks ? ["warn", plural(check.leaks, "leaked cluster")] : ["good", "sound"];
}

function checkCounts(check) {
	const total = check["total-clusters"], used = check["allocated-clusters"];
	const words = [plural(check.corruptions, "corruption"),
		plural(check.leaks, "leaked cluster"), plural(check.notes, "note")];
	if (Number(total))
		words.push(count(used) + " of " + plural(total, "guest cluster") + " allocated (" +
			percent(used, total) + ")");
	if (Number(used))
		words.push(percent(check["fragmented-clusters"], used) + " fragmented",
			percent(check["compressed-clusters"], used) + " compressed");
	return words;
}

function drawFindings() {
	const box = document.getElementById("findings"), check = data.check;
	box.append(el("h2", { id: "findings-title" }, "Check: " + verdict()[1]));
	if (!check || check.fault) {
		box.append(el("p", {}, data.fault ? "An image that is refused cannot be checked." :
			check && check.fault || "No check was made."));
		return;
	}
	box.append(note(checkCounts(check).join(" \u00b7 ")));
	box.append(findingList(check.list.slice(0, 20)));
	if (check.list.length > 20)
		box.append(el("details", {}, el("summary", {}, plural(check.list.length - 20,
			"finding") + " more"), findingList(check.list.slice(20))));
	if (check.findings > check.list.length)
		box.append(el("p", {}, plural(check.findings - check.list.length, "more finding") +
			" in the maps, but not in this list; q2s-inspect check has them all."));
}

/* ---- header, extensions, records ---- */

function fieldValue(it) {
	const value = big(it.value);
	if (it.kind === "offset")
		return value ? link("host", value) : show(value);
	if (it.kind === "mask")
		return show(value);
	if (it.name === "cluster_bits" && geometry)
		return value + " (" + bytes(clusterSize) + ")";
	if (it.name === "refcount_order" && value <= 6n)
		return value + " (" + plural(1n << value, "bit") + ")";
	if (it.kind === "bytes" && value > 1023n)
		return value + " (" + bytes(value) + ")";
	return String(value);
}

function drawHeader() {
	document.getElementById("header").append(el("h2", { id: "header-title" }, "Header"),
		table({ at: "mono", field: "mono", value: "mono", meaning: "text" },
			data.header.map((it) =>
				[wide(it.at, 2), it.name, fieldValue(it), it.meaning])));
}

/* A malformed record says only why. */
const recordRow = (it, cells) =>
	[link("host", big(it.at)), ...(it.fault ? [it.fault] : cells(it))];

const snapshotColumns = { at: "mono", name: "text", ID: "word", "made (UTC)": "word", disk: "word",
	"VM state": "word", "L1 table": "mono" };
const snapshotCells = (it) => [it.name, it.id,
	new Date(Number(it.date) * 1000).toISOString().slice(0, 16).replace("T", " "),
	given(it["disk-size"], (size) => bytes(big(size))) || "", bytes(it["vm-state"]),
	link("host", big(it.l1))];

const bitmapColumns = { at: "mono", name: "text", granularity: "word", state: "word",
	table: "mono" };
const bitmapCells = (it) => [it.name, bytes(big(it.granularity)),
	[...(it.auto ? ["recording"] : []), ...(it["in-use"] ? ["in use"] : [])].join(", "),
	link("host", big(it.table))];

function drawList(title, { count: number, list }, columns, row) {
	const more = number - list.length;
	return [el("h2", {}, title + " ", el("span", { class: "dim" }, count(number))),
		list.length ? table(columns, list.map(row)) : null,
		more > 0 ? note(count(more) + " more; q2s-inspect dump lists them.") : null];
}

function drawRest() {
	const none = { count: 0, list: [] };
	const features = { count: data.features.length, list: data.features };
	const parts = [...drawList("Features", features,
			{ kind: "word", bit: "mono", name: "text" },
			(it) => [it.kind, String(it.bit), it.name]),
		...drawList("Header extensions", data.extensions,
			{ at: "mono", type: "word", content: "text" },
			(it) => [show(big(it.at)), it.name, it.text]),
		...drawList("Snapshots", data.snapshots || none, snapshotColumns,
			(it) => recordRow(it, snapshotCells)),
		...drawList("Bitmaps", data.bitmaps || none, bitmapColumns,
			(it) => recordRow(it, bitmapCells))];
	document.getElementById("rest").append(...parts.filter((node) => node));
}

/* ---- changes ---- */

function changeItem(it) {
	const leads = (space) => given(it[space], (offset) => link(space, big(offset)));
	return el("li", {}, mono(it.text), " ", leads("guest"), " ", leads("host"));
}

function changeList({ key, title, items, omitted }) {
	const list = el("ul", { class: "changes" }, ...items.map(changeItem));
	const more = omitted ? note(count(omitted) + " more: see q2s-inspect diff") : null;
	const name = title + " (" + count(items.length + (omitted || 0)) + ")";
	return key === "operations" ? el("div", {}, el("h3", {}, name), list, more) :
		el("details", {}, el("summary", {}, name), list, more);
}

/* What explains the changes comes first. */
function drawChanges() {
	const box = document.getElementById("changes"), changes = data.changes;
	if (!changes) {
		box.remove();
		return;
	}
	const shown = changes.sections.filter((it) => it.items.length || it.omitted);
	const last = (it) => it.key === "operations";
	box.append(el("h2", { id: "changes-title" }, "Changes"),
		note("since " + changes.before + "; a cell with a dot has changed"),
		...shown.filter(last).map(changeList),
		...shown.filter((it) => !last(it)).map(changeList));
	if (!shown.length)
		box.append(el("p", {}, "There is no difference."));
}

/* Cells of the file whose bytes differ, and cells of the disk that an operation hit. */
function markChanges() {
	const sections = data.changes ? data.changes.sections : [];
	const mark = (space, from, length) => {
		const view = views[space], first = view.find(from);
		const last = view.find(from + (length ? length - 1n : 0n));
		for (let i = first; i >= 0 && i <= Math.max(last, first); i++)
			view.change(i);
	};
	for (const { key, items } of sections) {
		for (const it of items) {
			if (key === "clusters")
				mark("host", big(it.host), big(it.clusters) << clusterBits);
			else if (key === "operations" && it.guest !== undefined)
				mark("guest", big(it.guest), big(it.length));
		}
	}
	for (const view of Object.values(views))
		view.legend();
}

/* ---- top ---- */

function drawFacts() {
	const box = document.getElementById("facts"), [mood, words] = verdict();
	const crypt = given(field("crypt_method"), (it) => Number(big(it.value)));
	const fact = (value, name) => box.append(el("div", { class: "fact" }, el("b", {}, value),
		el("span", {}, name)));
	box.append(el("a", { class: "fact " + mood, href: "#findings" }, el("b", {}, words),
		el("span", {}, "check")));
	if (geometry) {
		fact(bytes(big(geometry.size)), "guest disk");
		fact(bytes(clusterSize), "cluster" +
			(geometry.extended ? ", " + geometry.subclusters + " subclusters" : ""));
	}
	fact(bytes(data["file-size"]), "file, " + bytes(data.allocated) + " on disk");
	if (data.changes) {
		const told = data.changes.sections.find((it) => it.key === "operations");
		box.append(el("a", { class: "fact", href: "#changes" },
			el("b", {}, plural(told.items.length + (told.omitted || 0), "operation")),
			el("span", {}, "changes since before")));
	}
	if (crypt)
		fact({ 1: "AES", 2: "LUKS" }[crypt] || "unknown", "encryption");
	document.getElementById("names").append(terms(["backing file", data.backing],
		["external data file", data["data-file"]]));
}

function drawAlerts() {
	const box = document.getElementById("alerts");
	const alert = (text) =>
		box.append(el("section", { class: "card alert", role: "alert" }, text));
	if (data.fault)
		alert("The image is refused: " + data.fault);
	if (data.trouble)
		alert("Not everything could be read: " + data.trouble);
	if (data.cut)
		alert("The tables of this image share clusters so often that not all were drawn.");
}

function drawMaps() {
	const about = (space, text, more) => {
		const map = data[space], size = bytes(1n << BigInt(map.bits));
		document.getElementById(space + "-about").textContent = text + "; a cell is " +
			(single(map) ? "one cluster" :
				plural(clustersOfCell(map), "cluster") + ", " + size) + "." + more;
	};
	const last = data.host.cells.length - 1;
	data.host.past = last;
	if (!data.host.cells[last][0].length && !data.host.cells[last][2])
		data.host.cells.pop();
	about("host", "What lies where in the image file", data.host.exact ? "" :
		" The file is so large that the counts are rough.");
	about("guest", "How this layer reads", data.backing === null ? "" :
		" What is unallocated is read from the backing file.");
	views.host = new View("host", drawHost);
	views.guest = new View("guest", drawGuest);
	markChanges();
	const first = data.guest.cells.findIndex((cell) => cell[1].length);
	start(first < 0 ? "#host-0" : place("guest", views.guest.range(first)[0]));
}

document.title = data.filename + " \u2013 qcow2 image";
document.getElementById("name").textContent = data.filename;
drawFacts();
drawAlerts();
if (geometry)
	drawMaps();
else
	document.getElementById("maps").remove();
drawChanges();
drawFindings();
drawHeader();
drawRest();
