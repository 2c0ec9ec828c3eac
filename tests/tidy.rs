//! The house rules that no compiler checks, as tests: what breaks one is named with its place and the way to mend it.
//!
//! A rule is a function of a file's path and text. Each is tried on planted violations ([`planted`]), then on the
//! repository.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use scan::{File, Finding, is_below, is_word, paths, tokens};

#[path = "tidy/planted.rs"]
mod planted;
#[path = "tidy/scan.rs"]
mod scan;

const MAX_LINES: usize = 600;
const MAX_FILES: usize = 15;
/// Folders in which each file is one of a kind, and looked for by its name.
const COLLECTIONS: &[&str] = &["src/operators", "src/sources"];

/// Which other layers the code of a layer may name. A row may list only rows above it: so there is no arrow back.
const MAY_USE: &[(&str, &[&str])] = &[
    ("report", &[]),
    ("unwind", &[]),
    ("knockout", &[]),
    ("sync", &[]),
    // A run's error carries the report; a lock makes the payload of a panic `Sync`.
    ("error", &["report", "sync"]),
    // Exception to `sync <- topology <- pool`: detecting a machine and starting threads fail with the crate's `Error`.
    ("topology", &["error"]),
    ("pool", &["unwind", "knockout", "sync", "error", "topology"]),
    ("run", &["report", "unwind", "sync", "error", "pool"]),
    ("plan", &["report", "error", "topology", "pool", "run"]),
    ("engine", &["unwind", "knockout", "sync", "run"]),
    ("graph", &["unwind", "error", "topology", "pool", "run", "plan", "engine"]),
    ("operators", &["unwind", "sync", "run", "plan", "engine", "graph"]),
    ("sources", &["unwind", "sync", "pool", "run", "plan", "engine", "graph"]),
    // It builds, runs and looks into everything, and nothing names it.
    ("check", &["report", "unwind", "sync", "error", "topology", "pool", "run", "plan", "engine", "graph"]),
];

/// What models, which stand in `sync`, name of other layers: types that have a protocol of their own, under a lock.
const MODELLED: &[&str] =
    &["crate::run::outside::control", "crate::engine::outside::input", "crate::engine::heads::pulled::Supplier"];

/// Where names that a layer takes from the crate's root come from.
const ROOT_NAMES: &[(&str, &str)] = &[("Error", "error")];

/// What only `src/sync` names.
const DOOR: &[&str] = &[
    "std::sync",
    "std::cell::UnsafeCell",
    "std::thread",
    "std::time::Instant",
    "std::hint",
    "parking_lot",
    "crossbeam_deque",
    "crossbeam_utils",
    "loom",
];

/// Where something behind the door may be named all the same: place, name, reason.
const DOOR_EXCEPTIONS: &[(&str, &str, &str)] = &[
    ("src/", "std::sync::Arc", "ownership: nothing is ordered by it that the models would have to see"),
    ("src/", "std::sync::Weak", "as `Arc`"),
    ("src/topology/", "std::thread::available_parallelism", "a question to the system, no thread"),
    ("src/topology/bind.rs", "std::thread", "which thread calls, where the system's calls know no other"),
    ("src/pool/builder.rs", "std::sync::mpsc", "at the start only: the threads say whether they could be bound"),
    ("src/engine/outside/channels.rs", "std::sync::mpsc", "a channel of the user's, which a source receives from"),
];

// ---------------------------------------------------------------------------------------------------------------------
// Rules about one file

/// Layers name only what [`MAY_USE`] says.
fn layers(file: &File) -> Vec<Finding> {
    let own = file.layer();
    if own.is_empty() {
        return Vec::new();
    }
    let Some((_, may)) = MAY_USE.iter().find(|(layer, _)| *layer == own) else {
        return vec![file.finding(1, format!("layers: '{own}' has no row in MAY_USE of tests/tidy.rs: give it one"))];
    };
    let mut found = Vec::new();
    for (line, path) in paths(file) {
        let Some(name) = name_in_root(&path, file.depth()) else { continue };
        let used = ROOT_NAMES.iter().find(|(root, _)| *root == name).map_or(name, |(_, layer)| layer);
        let is_model = own == "sync" && MODELLED.iter().any(|name| is_below(&path, name));
        let free = file.is_test() && (is_model || [own, used].contains(&"check"));
        if free || used == own || may.contains(&used) {
            continue;
        }
        let known = MAY_USE.iter().any(|(layer, _)| *layer == used);
        let what = if known {
            format!("layers: '{own}' may not use '{used}' ({path}): move what both need to a layer before both")
        } else {
            format!("layers: {path} does not say which layer it is of: write crate::layer::name")
        };
        found.push(file.finding(line, what));
    }
    found
}

/// What a path names in the crate's root, if it leads there. Modules written in line are not counted.
fn name_in_root(path: &str, depth: usize) -> Option<&str> {
    let mut rest = path;
    let mut supers = 0;
    while let Some(above) = rest.strip_prefix("super::") {
        rest = above;
        supers += 1;
    }
    let is_layer = |name: &&str| MAY_USE.iter().any(|(layer, _)| layer == name);
    match path.strip_prefix("crate::") {
        Some(below) => below.split("::").next(),
        None if supers >= depth => rest.split("::").next().filter(is_layer),
        None => None,
    }
}

/// Atomics, cells, locks, threads and waiting come from `crate::sync`. Tests of a folder run without loom: they may
/// have threads.
fn door(file: &File) -> Vec<Finding> {
    if file.layer() == "sync" || file.is_test() {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (line, path) in paths(file) {
        let same = if path.starts_with("core::") { path.replacen("core", "std", 1) } else { path.clone() };
        let behind = DOOR.iter().any(|name| is_below(&same, name)) && same.contains("::");
        let excepted =
            DOOR_EXCEPTIONS.iter().any(|(place, name, _)| file.path.starts_with(place) && is_below(&same, name));
        if behind && !excepted {
            let what = format!("one door: {path} is behind it: take it from crate::sync, so that the models see it");
            found.push(file.finding(line, what));
        }
    }
    found
}

/// `unsafe` stands only in files that say why they need it.
fn unsafe_is_announced(file: &File) -> Vec<Finding> {
    let dense: String = file.bare.split_whitespace().collect();
    if dense.contains("expect(unsafe_code,reason") {
        return Vec::new();
    }
    let first = tokens(&file.bare).iter().find(|token| token.text == "unsafe").map(|token| token.line);
    let what = "unsafe: say why with `#[expect(unsafe_code, reason = \"…\")]`";
    first.map(|line| file.finding(line, what)).into_iter().collect()
}

/// The library neither prints nor leaves things undone; tests may show figures.
fn no_prints(file: &File) -> Vec<Finding> {
    if file.is_test() {
        return Vec::new();
    }
    const MACROS: [&str; 7] = ["print", "println", "eprint", "eprintln", "dbg", "todo", "unimplemented"];
    let tokens = tokens(&file.bare);
    let calls = tokens.windows(2).filter(|pair| MACROS.contains(&pair[0].text) && pair[1].text == "!");
    let what = |name| format!("no prints: {name}! has no place in the library: return it, or take it out");
    calls.map(|pair| file.finding(pair[0].line, what(pair[0].text))).collect()
}

/// What cannot fail says why.
fn no_unwrap(file: &File) -> Vec<Finding> {
    if file.is_test() {
        return Vec::new();
    }
    let tokens = tokens(&file.bare);
    let calls = tokens.windows(3).filter(|three| [three[0].text, three[1].text, three[2].text] == [".", "unwrap", "("]);
    calls.map(|three| file.finding(three[1].line, "no unwrap: write expect(\"why it cannot fail\")")).collect()
}

/// A file can be read in one sitting.
fn file_length(file: &File) -> Vec<Finding> {
    let lines = file.text.lines().count();
    let what = format!("file length: {lines} lines, at most {MAX_LINES}: split it by what its parts do");
    if lines > MAX_LINES { vec![file.finding(lines, what)] } else { Vec::new() }
}

/// Only `src/sync` and the crate's root know of loom; elsewhere tests say that they are none of its.
fn loom_stays_in_sync(file: &File) -> Vec<Finding> {
    if file.layer() == "sync" || file.path == "src/lib.rs" {
        return Vec::new();
    }
    let mut lines: Vec<usize> =
        tokens(&file.bare).iter().filter(|token| token.text == "loom").map(|t| t.line).collect();
    lines.dedup();
    let attributes = [
        "#[cfg(all(test, not(loom)))]",
        "#[cfg(all(test, not(any(loom, coherence))))]",
        "#[cfg(any(feature = \"check\", all(test, not(loom))))]",
    ];
    let allowed = |line: &usize| file.text.lines().nth(line - 1).is_some_and(|line| attributes.contains(&line.trim()));
    let what = "cfg(loom): hide the difference behind src/sync; a test's attribute is #[cfg(all(test, not(loom)))]";
    lines.into_iter().filter(|line| !allowed(line)).map(|line| file.finding(line, what)).collect()
}

/// Work left over is work to do now, or nobody's.
fn no_markers(file: &File) -> Vec<Finding> {
    let markers = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("X", "XX")];
    let mut found = Vec::new();
    for (index, line) in file.text.lines().enumerate() {
        if let Some(word) = line.split(|c| !is_word(c)).find(|word| markers.contains(word)) {
            found.push(file.finding(index + 1, format!("no markers: {word}: do it now, or take it out")));
        }
    }
    found
}

// ---------------------------------------------------------------------------------------------------------------------
// Rules about several files

/// A folder can be taken in at one look.
fn folder_size(files: &[File]) -> Vec<Finding> {
    let folder = |file: &File| file.path.rsplit_once('/').map_or(String::new(), |(folder, _)| folder.to_owned());
    let mut counts = BTreeMap::new();
    files.iter().for_each(|file| *counts.entry(folder(file)).or_insert(0) += 1);
    let large = counts.into_iter().filter(|(folder, _)| !COLLECTIONS.contains(&folder.as_str()));
    let large = large.filter(|(_, count)| *count > MAX_FILES);
    let what = |count| format!("folder size: {count} files, at most {MAX_FILES}: group them by what they are for");
    large.map(|(folder, count)| Finding { path: folder, line: 1, what: what(count) }).collect()
}

/// The names of edges in a file's code, with their lines. `weakened` asks for an edge without being one's ordering.
fn edges_in(file: &File, marks: &[&str]) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for mark in marks {
        for (at, _) in file.code.match_indices(mark) {
            let argument = file.code[at + mark.len()..].trim_start();
            if let Some(name) = argument.strip_prefix('"').and_then(|text| text.split('"').next()) {
                found.push((file.code[..at].matches('\n').count() + 1, name.to_owned()));
            }
        }
    }
    found
}

/// A row of the table of edges in a module's doc.
struct Row {
    line: usize,
    edge: String,
    models: Vec<String>,
}

fn rows_in(file: &File) -> Vec<Row> {
    let mut rows = Vec::new();
    for (index, line) in file.text.lines().enumerate() {
        let Some(row) = line.trim().strip_prefix("//! |") else { continue };
        let cell = row.split('|').next().unwrap_or_default().trim();
        let name = cell.strip_prefix('`').and_then(|cell| cell.strip_suffix('`'));
        if let Some(edge) = name.filter(|name| name.contains('.')) {
            let models = row.split('`').filter(|word| word.starts_with("loom_")).map(str::to_owned).collect();
            rows.push(Row { line: index + 1, edge: edge.to_owned(), models });
        }
    }
    rows
}

/// Every edge has a row that names a model, every row an edge, and a control weakens each.
fn edges(files: &[File]) -> Vec<Finding> {
    let models: Vec<(&File, BTreeSet<&str>)> = files.iter().map(|file| (file, models_in(file))).collect();
    let exists = |name: &str| models.iter().any(|(_, names)| names.contains(name));
    let is_weakened = |edge: &str| {
        let literal = format!("\"{edge}\"");
        models.iter().any(|(file, names)| !names.is_empty() && file.code.contains(&literal))
    };
    let mut found = Vec::new();
    for file in files {
        let rows = rows_in(file);
        for (line, edge) in edges_in(file, &["edge!("]) {
            if !rows.iter().any(|row| row.edge == edge) {
                let what = format!("edges: '{edge}' has no row: add one to the table in this file's doc");
                found.push(file.finding(line, what));
            }
        }
        let named = edges_in(file, &["edge!(", "weakened("]);
        for (line, edge) in &named {
            if !is_weakened(edge) {
                let what =
                    format!("edges: no control weakens '{edge}': list it in check(&[…]) of the model that needs it");
                found.push(file.finding(*line, what));
            }
        }
        for row in rows {
            let edge = &row.edge;
            if !named.iter().any(|(_, name)| name == edge) {
                let what =
                    format!("edges: the row of '{edge}' has no edge in this file: take it out, or name the edge");
                found.push(file.finding(row.line, what));
            }
            if row.models.is_empty() || !row.models.iter().all(|model| exists(model)) {
                let what = format!("edges: the row of '{edge}' names no loom_ test that exists: name the model");
                found.push(file.finding(row.line, what));
            }
        }
    }
    found
}

/// The loom models that a file defines.
fn models_in(file: &File) -> BTreeSet<&str> {
    let tokens = tokens(&file.bare);
    let names = tokens.windows(2).filter(|pair| pair[0].text == "fn" && pair[1].text.starts_with("loom_"));
    names.map(|pair| pair[1].text).collect()
}

/// The folder with the table of operators, which random programs are drawn from.
const TABLE: &str = "src/check/tests/programs/table/";
/// What needs threads outside is named here.
const OUTSIDE: &str = "src/check/tests/programs/outside.rs";

/// The public methods of a file, as `Type::method`, with their lines.
fn methods_in(file: &File) -> Vec<(usize, String)> {
    let tokens = tokens(&file.bare);
    let (mut found, mut owner) = (Vec::new(), "");
    for (at, token) in tokens.iter().enumerate() {
        let text = |ahead: usize| tokens.get(at + ahead).map_or("", |token| token.text);
        match token.text {
            "impl" if file.bare.lines().nth(token.line - 1).is_some_and(|line| line.starts_with("impl")) => owner = "",
            "Graph" | "Stream" | "Keyed" if owner.is_empty() => owner = token.text,
            "pub" if text(1) == "fn" => found.push((token.line, format!("{owner}::{}", text(2)))),
            _ => {}
        }
    }
    found
}

/// Every source and operator has a row, and every row names a method that exists.
fn operator_rows(files: &[File]) -> Vec<Finding> {
    let (table, others): (Vec<&File>, Vec<&File>) =
        files.iter().partition(|file| file.path.starts_with(TABLE) || file.path == OUTSIDE);
    let is_operator = |file: &&&File| ["operators", "sources"].contains(&file.layer()) && !file.is_test();
    let methods: Vec<(&File, usize, String)> = others
        .iter()
        .filter(is_operator)
        .flat_map(|file| methods_in(file).into_iter().map(|(line, method)| (*file, line, method)))
        .collect();
    let mut found = Vec::new();
    for (file, line, method) in &methods {
        if !table.iter().any(|file| file.code.contains(&format!("\"{method}\""))) {
            let what = format!("operators: {method} has no row in {TABLE}: say there what it means to an iterator");
            found.push(file.finding(*line, what));
        }
    }
    for file in table {
        for (index, line) in file.code.lines().enumerate().filter(|(_, line)| line.contains("methods: &[\"")) {
            let names = line.split('"').skip(1).step_by(2);
            for name in names.filter(|name| !methods.iter().any(|(.., method)| method == name)) {
                found.push(file.finding(index + 1, format!("operators: there is no {name}: name the method as it is")));
            }
        }
    }
    found
}

/// Paths of the repository that a Markdown text names in backticks, with their lines.
fn named_paths(text: &str) -> Vec<(usize, String)> {
    const ROOTS: [&str; 6] = ["src/", "tests/", "ci/", ".ci/", "examples/", "benches/"];
    let (mut found, mut fenced) = (Vec::new(), false);
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced {
            continue;
        }
        let words = line.split('`').skip(1).step_by(2).flat_map(str::split_whitespace);
        for word in words.filter(|word| ROOTS.iter().any(|root| word.starts_with(root))) {
            let path = word.split(':').next().unwrap_or_default();
            found.push((index + 1, path.trim_end_matches([',', ';', ')']).to_owned()));
        }
    }
    found
}

fn architecture(text: &str, exists: impl Fn(&str) -> bool) -> Vec<Finding> {
    let missing = named_paths(text).into_iter().filter(|(_, path)| !exists(path));
    let what = |path: &str| format!("architecture: {path} does not exist: name what is there now");
    missing.map(|(line, path)| Finding { path: "ARCHITECTURE.md".into(), line, what: what(&path) }).collect()
}

// ---------------------------------------------------------------------------------------------------------------------
// The repository

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The Rust files below some folders of the repository; a folder that is not there has none.
fn files(folders: &[&str]) -> Vec<File> {
    let mut files = Vec::new();
    folders.iter().for_each(|folder| collect(&root().join(folder), &mut files));
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

fn collect(folder: &Path, files: &mut Vec<File>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.expect("the folder can be listed").path();
        if path.is_dir() && !path.ends_with("target") {
            collect(&path, files);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let text = fs::read_to_string(&path).expect("the file is text");
            let below =
                path.strip_prefix(root()).expect("it stands below the root").to_string_lossy().replace('\\', "/");
            files.push(File::new(&below, &text));
        }
    }
}

#[track_caller]
fn assert_none(findings: &[Finding]) {
    let list: Vec<String> = findings.iter().map(Finding::to_string).collect();
    assert!(list.is_empty(), "{} found:\n{}\n", list.len(), list.join("\n"));
}

/// Tries a rule on all of `src`.
#[track_caller]
fn holds_in_src(rule: fn(&File) -> Vec<Finding>) {
    let files = files(&["src"]);
    assert!(files.len() > 10, "the sources were found");
    assert_none(&files.iter().flat_map(rule).collect::<Vec<_>>());
}

#[test]
fn layers_know_only_what_stands_before_them() {
    holds_in_src(layers);
}

#[test]
fn the_table_of_layers_has_no_arrow_back() {
    for (index, (layer, may)) in MAY_USE.iter().enumerate() {
        let above = |used: &&&str| MAY_USE[..index].iter().any(|(layer, _)| layer == *used);
        let back: Vec<_> = may.iter().filter(|used| !above(used)).collect();
        assert!(back.is_empty(), "tests/tidy.rs: MAY_USE: '{layer}' may use {back:?}, which stand below it");
    }
}

#[test]
fn primitives_come_through_one_door() {
    holds_in_src(door);
}

#[test]
fn unsafe_code_says_why() {
    holds_in_src(unsafe_is_announced);
}

#[test]
fn the_library_prints_nothing_and_leaves_nothing_undone() {
    holds_in_src(no_prints);
}

#[test]
fn what_cannot_fail_says_why() {
    holds_in_src(no_unwrap);
}

#[test]
fn files_are_short() {
    holds_in_src(file_length);
}

#[test]
fn folders_are_small() {
    assert_none(&folder_size(&files(&["src"])));
}

#[test]
fn only_sync_knows_of_loom() {
    holds_in_src(loom_stays_in_sync);
}

#[test]
fn edges_have_rows_models_and_controls() {
    assert_none(&edges(&files(&["src"])));
}

#[test]
fn operators_have_rows() {
    assert_none(&operator_rows(&files(&["src"])));
}

#[test]
fn nothing_is_left_for_later() {
    let files = files(&["src", "tests", "examples", "benches"]);
    assert_none(&files.iter().flat_map(no_markers).collect::<Vec<_>>());
}

#[test]
fn architecture_names_what_exists() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md"));
    let text = text.expect("ARCHITECTURE.md is missing: the crate's map has to be written, in the repository's root");
    assert!(!named_paths(&text).is_empty(), "ARCHITECTURE.md names no path in backticks: it is the map of the sources");
    assert_none(&architecture(&text, |path| root().join(path).exists()));
}
