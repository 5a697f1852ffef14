//! Counts in tests what the scheduler looks at: the cost of a turn, without a clock. (A contact's steps are in
//! [`step`](crate::lane::contact::step).)

#[cfg(test)]
thread_local! {
    static STEPS: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

/// Something of a collection is looked at whose size is not bounded.
pub(super) fn step() {
    #[cfg(test)]
    STEPS.set(STEPS.get() + 1);
}

/// What a test does for itself costs nothing.
#[cfg(test)]
pub(super) fn uncounted(work: impl FnOnce()) {
    let before = steps();
    work();
    STEPS.set(before);
}

/// How much this thread has looked at so far.
#[cfg(test)]
pub(super) fn steps() -> u64 {
    STEPS.get()
}
