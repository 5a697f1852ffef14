//! Reads events from a file, one a line, on a thread of their own.

use std::io::{BufRead, BufReader, ErrorKind, Read};

use tokio::sync::mpsc;

const AHEAD: usize = 64;

/// A line of the input, without its line break.
#[derive(Debug, PartialEq, Eq)]
pub enum ReadLine {
    /// All of it.
    Whole(Vec<u8>),
    /// It is longer than the limit; none of it was kept.
    TooLong,
}

/// How many bytes a line may have, where a body may have `max_batch`. The longest lines are dead letters, with a body in
/// base64 and up to 128 KiB of headers, escaped.
pub fn longest_line(max_batch: usize) -> usize {
    max_batch.saturating_mul(2).saturating_add(1 << 20)
}

/// Sends every line, and ends after the first error. A line of more than `limit` bytes is reported as soon as that is
/// known; the rest of it is skipped.
///
/// The thread ends with the input, or when the receiver is dropped. While it waits for standard input it notices neither,
/// and ends with the process.
pub fn read_lines(input: Box<dyn Read + Send>, limit: usize) -> mpsc::Receiver<std::io::Result<ReadLine>> {
    let (send, lines) = mpsc::channel(AHEAD);
    drop(tokio::task::spawn_blocking(move || {
        let mut input = BufReader::new(input);
        while let Some(read) = read_line(&mut input, limit).transpose() {
            let (line, ended) = match read {
                Ok((line, ended)) => (Ok(line), ended),
                Err(error) => (Err(error), true),
            };
            let failed = line.is_err();
            if send.blocking_send(line).is_err() || failed {
                return;
            }
            if !ended && let Err(error) = skip_line(&mut input, || send.is_closed()) {
                // The thread ends either way.
                drop(send.blocking_send(Err(error)));
                return;
            }
        }
    }));
    lines
}

/// The next line, and whether the input stands behind it rather than within it; `None` at the end of the input.
fn read_line(input: &mut impl BufRead, limit: usize) -> std::io::Result<Option<(ReadLine, bool)>> {
    let mut line = Vec::new();
    // Room for the line break, too.
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(2);
    if input.take(most).read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    let text = line.strip_suffix(b"\n").map(|text| text.strip_suffix(b"\r").unwrap_or(text).len());
    let ended = text.is_some();
    let length = text.unwrap_or(line.len());
    if length > limit {
        return Ok(Some((ReadLine::TooLong, ended)));
    }
    line.truncate(length);
    Ok(Some((ReadLine::Whole(line), true)))
}

/// Reads on to the end of a line, or until nobody takes the next one.
fn skip_line(input: &mut impl BufRead, is_over: impl Fn() -> bool) -> std::io::Result<()> {
    while !is_over() {
        let buffer = match input.fill_buf() {
            Ok(buffer) => buffer,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if buffer.is_empty() {
            return Ok(());
        }
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let read = end.map_or(buffer.len(), |end| end + 1);
        input.consume(read);
        if end.is_some() {
            return Ok(());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn all(input: impl Read + Send + 'static, limit: usize) -> Vec<ReadLine> {
        let mut lines = read_lines(Box::new(input), limit);
        let mut read = Vec::new();
        while let Some(line) = lines.recv().await {
            read.push(line.unwrap());
        }
        read
    }

    fn whole(text: &str) -> ReadLine {
        ReadLine::Whole(text.into())
    }

    #[tokio::test]
    async fn lines_end_at_any_line_break_and_at_the_end_of_the_input() {
        let input = "a\r\n\nb\rc\n\r\nlast".as_bytes();
        assert_eq!(all(input, 10).await, [whole("a"), whole(""), whole("b\rc"), whole(""), whole("last")]);
        assert_eq!(all("".as_bytes(), 10).await, []);
    }

    #[tokio::test]
    async fn a_line_over_the_limit_is_skipped_and_those_around_it_are_read() {
        for (input, expected) in [
            ("1234\n12345\n1\n", vec![whole("1234"), ReadLine::TooLong, whole("1")]),
            ("1234\r\n12345\r\n1", vec![whole("1234"), ReadLine::TooLong, whole("1")]),
            ("12345", vec![ReadLine::TooLong]),
            ("123456\n", vec![ReadLine::TooLong]),
            ("12345678\n12345678\n1", vec![ReadLine::TooLong, ReadLine::TooLong, whole("1")]),
        ] {
            assert_eq!(all(input.as_bytes(), 4).await, expected, "{input:?}");
        }
    }

    #[tokio::test]
    async fn a_line_that_never_ends_is_refused_all_the_same() {
        let mut lines = read_lines(Box::new(std::io::repeat(b'x')), 1000);
        assert_eq!(lines.recv().await.unwrap().unwrap(), ReadLine::TooLong);
        // With the receiver the thread ends, or this runtime would wait for it for ever.
    }

    #[tokio::test]
    async fn an_error_within_a_line_that_is_skipped_ends_the_reading() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
                Err(ErrorKind::UnexpectedEof.into())
            }
        }
        let mut lines = read_lines(Box::new("123456789".as_bytes().chain(Broken)), 4);
        assert_eq!(lines.recv().await.unwrap().unwrap(), ReadLine::TooLong);
        assert!(lines.recv().await.unwrap().is_err());
        assert!(lines.recv().await.is_none());
    }
}
