//! A disk that does what the test says, when it says so.

use std::sync::mpsc as blocking;
use std::sync::{Arc, Mutex};

use super::*;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Did {
    Append,
    Sync,
}

/// Waits for a word before each sync, and then fails if that says so.
struct Disk {
    did: Arc<Mutex<Vec<Did>>>,
    syncs: blocking::Receiver<io::Result<()>>,
    /// How many letters there is room for.
    room: usize,
}

impl LetterStore for Disk {
    fn append(&mut self, _: &Letter) -> io::Result<()> {
        if self.room == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.room -= 1;
        self.did.lock().unwrap().push(Did::Append);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        // When the test is over there is nothing to wait for.
        let synced = self.syncs.recv().unwrap_or(Ok(()));
        self.did.lock().unwrap().push(Did::Sync);
        synced
    }
}

struct Stage {
    writer: LetterWriter<u32>,
    did: Arc<Mutex<Vec<Did>>>,
    sync: blocking::Sender<io::Result<()>>,
}

fn stage(room: usize) -> Stage {
    let did = Arc::default();
    let (sync, syncs) = blocking::channel();
    let disk = Disk { did: Arc::clone(&did), syncs, room };
    Stage { writer: LetterWriter::start(Box::new(disk)), did, sync }
}

#[tokio::test]
async fn a_letter_is_reported_only_when_it_is_synced() {
    let Stage { mut writer, did, sync } = stage(10);
    writer.write(Letter::default(), 1);
    {
        let mut written = std::pin::pin!(writer.written());
        assert!(futures_util::poll!(written.as_mut()).is_pending(), "the disk has not said so");
        sync.send(Ok(())).unwrap();
        assert_eq!(written.await.unwrap(), [1]);
    }
    assert_eq!(*did.lock().unwrap(), [Did::Append, Did::Sync]);
    assert!(!writer.is_writing());
}

#[tokio::test]
async fn letters_that_come_meanwhile_share_a_sync() {
    let Stage { mut writer, did, sync } = stage(100);
    writer.write(Letter::default(), 0);
    while did.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    // The first one may or may not be alone: the thread is somewhere before its sync.
    for number in 1..50 {
        writer.write(Letter::default(), number);
    }
    sync.send(Ok(())).unwrap();
    sync.send(Ok(())).unwrap();
    let mut written = Vec::new();
    while written.len() < 50 {
        written.extend(writer.written().await.unwrap());
    }
    assert_eq!(written, (0..50).collect::<Vec<_>>(), "in their order");
    let syncs = did.lock().unwrap().iter().filter(|did| **did == Did::Sync).count();
    assert!(syncs <= 2, "{syncs}");
}

#[tokio::test]
async fn letters_before_one_that_cannot_be_written_are_safe_and_later_ones_are_dropped() {
    let Stage { mut writer, sync, .. } = stage(1);
    sync.send(Ok(())).unwrap();
    for number in 0..3 {
        writer.write(Letter::default(), number);
    }
    assert_eq!(writer.written().await.unwrap(), [0]);
    assert_eq!(writer.written().await.unwrap_err().kind(), io::ErrorKind::StorageFull);
    writer.write(Letter::default(), 3);
    assert!(!writer.is_writing() && writer.has_room());
}

#[tokio::test]
async fn a_sync_that_fails_makes_no_letter_safe() {
    let Stage { mut writer, sync, .. } = stage(10);
    sync.send(Err(io::ErrorKind::QuotaExceeded.into())).unwrap();
    writer.write(Letter::default(), 0);
    assert_eq!(writer.written().await.unwrap_err().kind(), io::ErrorKind::QuotaExceeded);
    assert!(!writer.is_writing());
}

#[tokio::test]
async fn only_so_many_letters_and_bytes_wait() {
    let Stage { mut writer, .. } = stage(1000);
    let mut number = 0;
    while writer.has_room() {
        writer.write(Letter::default(), number);
        number += 1;
    }
    assert_eq!(number, 256);
    let Stage { mut writer, sync, .. } = stage(1000);
    writer.write(Letter { body: vec![0; BYTES].into(), ..Letter::default() }, 0);
    assert!(!writer.has_room());
    sync.send(Ok(())).unwrap();
    assert_eq!(writer.written().await.unwrap(), [0]);
    assert!(writer.has_room());
}
