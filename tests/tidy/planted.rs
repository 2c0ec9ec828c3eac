//! Each rule finds what is planted, and nothing beside it.

use super::scan::{blank, paths, tokens};
use super::*;

/// The lines of `text` that a rule complains about.
fn lines(rule: fn(&File) -> Vec<Finding>, path: &str, text: &str) -> Vec<usize> {
    rule(&File::new(path, text)).iter().map(|finding| finding.line).collect()
}

#[test]
fn comments_and_literals_are_no_code() {
    let text = "a /* b /* c */ d */ \"e \\\" f\" 'g' '\\'' r#\"h \" i\"# b\"j\" 'k: l // m\n/// n\no";
    let words: Vec<String> = tokens(&blank(text, true)).iter().map(|token| token.text.to_owned()).collect();
    assert_eq!(words, ["a", "b", "'", "k", ":", "l", "o"]);
    assert!(blank(text, false).contains("h \" i"), "literals are kept");
    assert_eq!(blank(text, true).lines().count(), 3, "lines stay");
}

#[test]
fn paths_in_braces_are_written_out() {
    let file = File::new("src/x.rs", "use a::{self, b::{c, d as e}, f::*};\nlet x = g::<h::i>();");
    let paths: Vec<String> = paths(&file).into_iter().map(|(_, path)| path).filter(|p| p.contains("::")).collect();
    assert_eq!(paths, ["a::b::c", "a::b::d", "a::f::*", "h::i"]);
}

#[test]
fn layer_arrows() {
    let text = "//! [`crate::graph`]\nuse crate::sync::Mutex;\nuse crate::{graph::Graph, error::Error};\nfn f() -> crate::Error;\n\
        use super::worker;\nfn g(_: crate::plan::Plan, _: crate::Stream) {}\nuse super::super::run::Run;\nuse crate::*;";
    assert_eq!(lines(layers, "src/pool/seat.rs", text), [3, 6, 6, 7, 8]);
    assert_eq!(lines(layers, "src/pool/mod.rs", "use super::run::Run;\nuse super::sync;"), [1]);
    assert_eq!(lines(layers, "src/report/mod.rs", "use crate::error::RunError;"), [1]);
    assert_eq!(lines(layers, "src/sync/tests/mod.rs", "use crate::check;\nuse crate::pool::Pool;"), [2]);
    let modelled = "use crate::run::outside::control::Control;";
    assert_eq!(lines(layers, "src/sync/tests/mod.rs", modelled), []);
    assert_eq!(lines(layers, "src/sync/gate.rs", modelled), [1]);
    assert_eq!(lines(layers, "src/new/mod.rs", ""), [1], "a new layer needs a row");
    assert_eq!(lines(layers, "src/lib.rs", "pub use crate::graph::Graph;"), []);
}

#[test]
fn strays_past_the_door() {
    let text = "// std::thread\nuse std::sync::{Arc, atomic::AtomicBool};\nuse core::sync::atomic;\nuse std::cell::{Cell, UnsafeCell};\n\
        fn f() { std::thread::yield_now() }\nstd::hint::spin_loop();\nuse std::sync::{Arc, Mutex};\nuse std::sync::mpsc;\n\
        use parking_lot::Mutex;\nuse crossbeam_deque::Worker;\nuse crossbeam_utils::Backoff;\nuse loom::model;\n\
        thread_local! {}\nuse crate::sync::{Mutex, UnsafeCell, atomic, thread};\nuse std::sync;\nuse std::{thread as t};\n\
        std::thread::available_parallelism()";
    assert_eq!(lines(door, "src/run/mod.rs", text), [2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 15, 16, 17]);
    assert_eq!(lines(door, "src/sync/imp_std.rs", text), []);
    assert_eq!(lines(door, "src/pool/builder.rs", "use std::sync::{Arc, mpsc, RwLock};\nuse std::sync::mpsc;"), [1]);
    assert_eq!(
        lines(door, "src/topology/mod.rs", "std::thread::available_parallelism();\nstd::thread::current()"),
        [2]
    );
}

#[test]
fn unsafe_without_a_reason() {
    let text = "// unsafe\nfn f() {}\nunsafe fn g() {}\nunsafe {}";
    assert_eq!(lines(unsafe_is_announced, "src/run/x.rs", text), [3]);
    let text = "#![expect(\n    unsafe_code,\n    reason = \"…\"\n)]\nunsafe {}";
    assert_eq!(lines(unsafe_is_announced, "src/run/x.rs", text), []);
    assert_eq!(lines(unsafe_is_announced, "src/run/x.rs", "// expect(unsafe_code, reason = \"\")\nunsafe {}"), [2]);
}

#[test]
fn prints() {
    let text = "/// println!(\"\")\nfn f() { println!(\"\"); }\n\"println!\"; writeln!(f, \"\");\neprintln!();\ndbg!(1);\n\
        todo!()\nunimplemented!();\nlet todo = 1;";
    assert_eq!(lines(no_prints, "src/run/x.rs", text), [2, 4, 5, 6, 7]);
}

#[test]
fn unwraps() {
    let text = "/// x.unwrap();\nx.unwrap();\nx.unwrap_or(1); unwrap(2);\nx\n    .unwrap()";
    assert_eq!(lines(no_unwrap, "src/run/x.rs", text), [2, 5]);
    assert_eq!(lines(no_unwrap, "src/run/tests/x.rs", text), []);
}

#[test]
fn long_files() {
    assert_eq!(lines(file_length, "src/run/x.rs", &"\n".repeat(MAX_LINES)), []);
    assert_eq!(lines(file_length, "src/run/x.rs", &"\n".repeat(MAX_LINES + 1)), [MAX_LINES + 1]);
}

#[test]
fn large_folders() {
    let of = |folder: &str, count: usize| (0..count).map(|n| File::new(&format!("{folder}/f{n}.rs"), "")).collect();
    let files: Vec<File> = [of("src/a", MAX_FILES), of("src/a/b", MAX_FILES + 1), of("src/operators", 2 * MAX_FILES)]
        .into_iter()
        .flat_map(|files: Vec<File>| files)
        .collect();
    let found: Vec<String> = folder_size(&files).into_iter().map(|finding| finding.path).collect();
    assert_eq!(found, ["src/a/b"]);
}

#[test]
fn loom_outside_sync() {
    let text = "#[cfg(all(test, not(loom)))]\nmod tests;\n#[cfg(loom)]\nmod x;\n// cfg(loom)\n    #[cfg(all(test, loom))]\n\
        #[cfg_attr(\n    loom,\n    x\n)]\nfn loom_x() {}";
    assert_eq!(lines(loom_stays_in_sync, "src/run/x.rs", text), [3, 6, 8]);
    assert_eq!(lines(loom_stays_in_sync, "src/sync/x.rs", text), []);
}

#[test]
fn markers() {
    let text = format!(
        "fn f() {{}} // {}: later\n{}\n{}S\n// {}",
        concat!("TO", "DO"),
        "x",
        concat!("TO", "DO"),
        concat!("X", "XX")
    );
    assert_eq!(lines(no_markers, "src/run/x.rs", &text), [1, 4]);
    assert_eq!(lines(no_markers, "src/run/x.rs", concat!("/* FIX", "ME */")), [1]);
}

#[test]
fn edges_without_rows_models_or_controls() {
    let code = "//! | `a.good` | w | r | v | `loom_good` |\n//! | `a.model` | w | r | v | `loom_none` |\n//! | `a.stale` | w | r | v | `loom_good` |\n\
        //! | `a.unnamed` | w | r | v | - |\n// edge!(\"a.comment\", Acquire)\nedge!(\"a.good\", Acquire);\nfence_edge!(\"a.row\");\n\
        edge!(\n    \"a.model\",\n    Release\n);\nedge!(\"a.unnamed\", Release); weakened(\"a.good\"); weakened(\"a.control\");";
    let tests =
        "fn loom_good() { check(&[\"a.good\", \"a.row\", \"a.model\", \"a.unnamed\"], || {}) } // \"a.control\"";
    let no_model = "fn f() { \"a.control\" }";
    let files =
        [File::new("src/sync/a.rs", code), File::new("src/sync/tests/mod.rs", tests), File::new("src/x.rs", no_model)];
    let found: Vec<(usize, bool)> = edges(&files).iter().map(|f| (f.line, f.path == "src/sync/a.rs")).collect();
    assert_eq!(found, [(7, true), (12, true), (2, true), (3, true), (4, true)]);
}

#[test]
fn operators_without_rows() {
    let op = "impl<'env, T: 'env, P: Pipe<Out = T>> Stream<'env, T, P> {\n    /// pub fn no\n    pub fn map(self) -> impl Pipe {}\n    fn own() {}\n\
        pub fn take(self) {}\n}\nimpl<K> Keyed<'_, K> {\n pub fn map(self) {}\n}\nstruct X;\nimpl Y for X<Graph> {}";
    let table = "Operator { methods: &[\"Stream::map\"] }\n// methods: &[\"Stream::no\"]\nmethods: &[\"Stream::gone\", \"Stream::map\"]";
    let files = [
        File::new("src/operators/map.rs", op),
        File::new("src/graph/x.rs", "impl Stream { pub fn named() {} }"),
        File::new("src/check/tests/programs/table/x.rs", table),
    ];
    let found: Vec<(usize, bool)> = operator_rows(&files).iter().map(|f| (f.line, f.what.contains("no row"))).collect();
    assert_eq!(found, [(5, true), (8, true), (3, false)]);
}

#[test]
fn paths_that_do_not_exist() {
    let text = "`src/here.rs`, `src/gone.rs:12` src/free.rs\n```text\n`src/fenced.rs`\n```\n`bash ci/gone.sh` and `examples/`, `tests/gone/`";
    let found = architecture(text, |path| ["src/here.rs", "examples/"].contains(&path));
    let found: Vec<String> =
        found.iter().map(|f| f.to_string().split(" does").next().unwrap_or_default().to_owned()).collect();
    let gone = ["1: architecture: src/gone.rs", "5: architecture: ci/gone.sh", "5: architecture: tests/gone/"];
    assert_eq!(found, gone.map(|gone| format!("ARCHITECTURE.md:{gone}")));
}
