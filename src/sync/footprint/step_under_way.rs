//! The step of an explored run that is under way, for another thread that looks on.

/// Shared with another thread, of which the explorer need not hear.
pub(crate) type SharedCalls = std::sync::Mutex<Calls>;

/// The step under way, for another thread that looks on.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    steps: u64,
    schedules: u64,
    is_in_step: bool,
    process: usize,
    /// The last call of user code of each process.
    calls: Vec<String>,
    /// What each process waits for, if it does.
    waits: Vec<Option<String>>,
}

impl Calls {
    /// How many steps were made so far.
    pub(crate) fn steps(&self) -> u64 {
        self.steps
    }

    /// How many schedules have begun.
    pub(crate) fn schedules(&self) -> u64 {
        self.schedules
    }

    /// None has begun of those that count.
    pub(crate) fn count_anew(&mut self) {
        self.schedules = 0;
    }

    /// Whether one is under way.
    pub(crate) fn is_in_step(&self) -> bool {
        self.is_in_step
    }

    /// The last call of the process that makes it.
    pub(crate) fn call(&self) -> &str {
        self.call_of(self.process)
    }

    pub(super) fn call_of(&self, process: usize) -> &str {
        self.calls.get(process).filter(|call| !call.is_empty()).map_or("the closure of the test", String::as_str)
    }

    /// What a process waits for.
    pub(super) fn wait_of(&self, process: usize) -> &str {
        self.waits.get(process).and_then(Option::as_deref).unwrap_or("waits for others")
    }

    pub(super) fn wait_for(&mut self, what: Option<String>) {
        let known = self.waits.len().max(self.process + 1);
        self.waits.resize(known, None);
        self.waits[self.process] = what;
    }

    pub(super) fn step(&mut self, process: usize) {
        self.steps += 1;
        (self.process, self.is_in_step) = (process, true);
    }

    pub(super) fn end_step(&mut self) {
        self.is_in_step = false;
    }

    /// A schedule begins.
    pub(super) fn clear(&mut self) {
        self.schedules += 1;
        self.calls.clear();
        self.waits.clear();
    }

    pub(super) fn note(&mut self, call: String) {
        let known = self.calls.len().max(self.process + 1);
        self.calls.resize(known, String::new());
        self.calls[self.process] = call;
    }
}
