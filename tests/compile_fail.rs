//! Programs that must not compile do not, each for its own reason.
//!
//! A program in `tests/compile_fail` says in its first line which error rustc gives first: its code, or `none` if it has
//! none, and if that is not enough some of its text (``//~ E0277 the trait `Send` ``). Or that it compiles (`//~ ok`). All
//! are binaries of one scratch crate that depends on this one, checked in one go.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The line before the code that is expected.
const EXPECTS: &str = "//~ ";
/// In the place of a code: it compiles.
const OK: &str = "ok";
/// In the place of a code: some errors have none.
const NO_CODE: &str = "none";
/// The one program that compiles, and shows that the others could.
const CONTROL: &str = "control";

/// The first error of each program: its code and its text.
type Verdicts = BTreeMap<String, (String, String)>;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The programs by name.
fn programs() -> BTreeMap<String, PathBuf> {
    let folder = root().join("tests/compile_fail");
    let entries = fs::read_dir(&folder).expect("tests/compile_fail can be listed");
    let paths = entries.map(|entry| entry.expect("tests/compile_fail can be listed").path());
    let named = |path: PathBuf| (path.file_stem().expect("a file has a name").to_string_lossy().into_owned(), path);
    paths.filter(|path| path.extension().is_some_and(|ending| ending == "rs")).map(named).collect()
}

/// What the first line of each program says.
fn expected(programs: &BTreeMap<String, PathBuf>) -> Verdicts {
    let first_line = |path: &PathBuf| {
        let program = fs::read_to_string(path).expect("a program is text");
        let first = program.lines().next().and_then(|line| line.strip_prefix(EXPECTS));
        let first = first.unwrap_or_else(|| panic!("{}:1: begin with '{EXPECTS}E0xxx'", path.display()));
        let (code, text) = first.split_once(' ').unwrap_or((first, ""));
        (code.to_owned(), text.to_owned())
    };
    programs.iter().map(|(name, path)| (name.clone(), first_line(path))).collect()
}

/// Writes the scratch crate, with the locked versions of this one; gives its folder.
fn scratch(programs: &BTreeMap<String, PathBuf>) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compile_fail");
    let mut manifest = format!(
        "[package]\nname = \"compile_fail\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[workspace]\n\n\
         [dependencies]\nmillstream = {{ path = {:?} }}\n",
        root(),
    );
    for (name, path) in programs {
        write!(manifest, "\n[[bin]]\nname = {name:?}\npath = {path:?}\n").expect("a string takes it");
    }
    fs::create_dir_all(&folder).expect("the scratch folder can be made");
    fs::write(folder.join("Cargo.toml"), manifest).expect("the scratch manifest can be written");
    fs::copy(root().join("Cargo.lock"), folder.join("Cargo.lock")).expect("Cargo.lock can be copied");
    folder
}

/// Checks all programs; gives cargo's messages and what it says to people. First without the network, which the locked
/// versions need only if they were never fetched.
fn check(folder: &Path) -> (String, String) {
    let run = |offline: &[&str]| {
        let output = Command::new(env!("CARGO"))
            .args(["check", "--bins", "--keep-going", "--message-format=json", "--target-dir"])
            .arg(folder.join("target"))
            .args(offline)
            .current_dir(folder)
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .output()
            .expect("cargo starts");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (text(&output.stdout), text(&output.stderr))
    };
    let (messages, says) = run(&["--offline"]);
    if messages.is_empty() { run(&[]) } else { (messages, says) }
}

/// Reads cargo's messages, a line of JSON each. A quote inside a string is escaped there, so keys are found as text.
fn verdicts(messages: &str) -> Verdicts {
    let mut verdicts = Verdicts::new();
    for message in messages.lines().filter(|line| line.contains(r#""kind":["bin"]"#)) {
        let Some(name) = between(message, r#""kind":["bin"],"#, r#""name":""#) else { continue };
        let code = if message.contains(r#""reason":"compiler-artifact""#) {
            OK.to_owned()
        } else if message.contains(r#""level":"error""#) {
            between(message, "", r#""code":{"code":""#).unwrap_or_else(|| NO_CODE.to_owned())
        } else {
            continue;
        };
        verdicts.entry(name).or_insert_with(|| (code, message.to_owned()));
    }
    verdicts
}

/// The string that begins after `key`, itself after `start`.
fn between(message: &str, start: &str, key: &str) -> Option<String> {
    let behind = message.split_once(start)?.1.split_once(key)?.1;
    Some(behind.split('"').next()?.to_owned())
}

/// What is not as expected.
fn differences(expected: &Verdicts, found: &Verdicts) -> Vec<String> {
    let differs = |(name, (code, text)): (&String, &(String, String))| {
        let (given, message) = found.get(name).map_or(("no verdict", ""), |(code, text)| (code, text));
        let lacks = if given == code { format!(" without '{text}'") } else { String::new() };
        let line = format!("tests/compile_fail/{name}.rs:1: expected {code}, found {given}{lacks}");
        (given != code || !message.contains(text)).then_some(line)
    };
    expected.iter().filter_map(differs).collect()
}

#[test]
fn programs_fail_for_their_own_reason() {
    let programs = programs();
    let expected = expected(&programs);
    let compile: Vec<_> = expected.iter().filter(|(_, (code, _))| code == OK).map(|(name, _)| name.as_str()).collect();
    assert_eq!(compile, [CONTROL], "one program compiles");

    let (messages, says) = check(&scratch(&programs));
    let found = verdicts(&messages);
    assert!(found.contains_key(CONTROL), "not even the control was checked; cargo says:\n{says}");
    let differences = differences(&expected, &found);
    let hint = "`cargo check` in the scratch crate under target/tmp shows the errors in full";
    assert!(differences.is_empty(), "{}\n{hint}\n", differences.join("\n"));
}

#[test]
fn first_errors_are_read_from_messages() {
    let messages = r#"
{"reason":"compiler-artifact","target":{"kind":["lib"],"name":"millstream"}}
{"reason":"compiler-message","target":{"kind":["bin"],"name":"a"},"message":{"level":"warning","code":{"code":"unused"}}}
{"reason":"compiler-message","target":{"kind":["bin"],"name":"a"},"message":{"rendered":"Send \"level\":\"x\"","children":[{"code":null}],"level":"error","code":{"code":"E0277"}}}
{"reason":"compiler-message","target":{"kind":["bin"],"name":"a"},"message":{"level":"error","code":{"code":"E0308"}}}
{"reason":"compiler-artifact","target":{"kind":["bin"],"name":"b"}}
{"reason":"compiler-message","target":{"kind":["bin"],"name":"c"},"message":{"level":"error","code":null}}"#;
    let found = verdicts(messages);
    let codes: Vec<_> = found.iter().map(|(name, (code, _))| (name.as_str(), code.as_str())).collect();
    assert_eq!(codes, [("a", "E0277"), ("b", OK), ("c", NO_CODE)]);

    let expect = |name: &str, code: &str, text: &str| (name.to_owned(), (code.to_owned(), text.to_owned()));
    let as_found = [expect("a", "E0277", "Send"), expect("b", OK, ""), expect("c", NO_CODE, "")];
    assert!(differences(&Verdicts::from(as_found), &found).is_empty());
    let otherwise = [expect("a", "E0277", "Sync"), expect("b", "E0277", ""), expect("c", OK, ""), expect("d", OK, "")];
    assert_eq!(differences(&Verdicts::from(otherwise), &found).len(), 4);
}
