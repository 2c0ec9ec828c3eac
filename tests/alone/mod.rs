//! Tests in processes of their own: for what could hang, abort, or change the process.

use std::io::Read;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Names the process of one test.
const ALONE: &str = "MILLSTREAM_ALONE";

/// Runs `body` in a process of its own, which must end well, and within 20 seconds, or as many as `MILLSTREAM_PATIENCE` says.
pub(crate) fn alone(test: &str, body: impl FnOnce()) {
    if std::env::var(ALONE).as_deref() == Ok(test) {
        return body();
    }
    let program = std::env::current_exe().expect("this program");
    let mut command = Command::new(program);
    command.args(["--exact", test, "--test-threads=1", "--nocapture"]).env(ALONE, test);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("a process");
    let mut said = child.stderr.take().expect("piped");
    let said = thread::spawn(move || {
        let mut text = String::new();
        let _ = said.read_to_string(&mut text); // while it runs: a full pipe would stop it
        text
    });
    let asked = std::env::var("MILLSTREAM_PATIENCE").ok().and_then(|text| text.parse().ok());
    let (start, patience) = (Instant::now(), Duration::from_secs(asked.unwrap_or(20)));
    let status = loop {
        match child.try_wait().expect("a child") {
            Some(status) => break status,
            None if start.elapsed() > patience => {
                let _ = child.kill();
                panic!("{test} hangs");
            }
            None => thread::sleep(Duration::from_millis(5)),
        }
    };
    let text = said.join().expect("no panic");
    assert!(status.success(), "{test}: {status}\n{text}");
}
