//! Reads events from a file, one a line, on a thread of their own.

use std::io::{BufRead as _, BufReader, Read};

use tokio::sync::mpsc;

/// Lines read ahead.
const AHEAD: usize = 64;

/// Sends every line without its line break, and ends after the first error.
///
/// The thread ends with the input, or at the first line that nobody takes. One that waits for standard
/// input cannot be called back: it ends with the process.
pub fn read_lines(input: Box<dyn Read + Send>) -> mpsc::Receiver<std::io::Result<Vec<u8>>> {
    let (send, lines) = mpsc::channel(AHEAD);
    drop(tokio::task::spawn_blocking(move || {
        let mut input = BufReader::new(input);
        loop {
            let mut line = Vec::new();
            let read = match input.read_until(b'\n', &mut line) {
                Ok(0) => return,
                Ok(_) => {
                    if line.last() == Some(&b'\n') {
                        line.pop();
                        if line.last() == Some(&b'\r') {
                            line.pop();
                        }
                    }
                    Ok(line)
                }
                Err(error) => Err(error),
            };
            let ended = read.is_err();
            if send.blocking_send(read).is_err() || ended {
                return;
            }
        }
    }));
    lines
}
