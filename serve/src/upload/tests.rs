//! What stays in memory, and what is too slow.

use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

use super::*;

fn rules() -> UploadRules {
    let received = IntCounter::new("received", "Bytes received.").unwrap();
    let pace = Pace { bytes: 10, within: Duration::from_secs(1) };
    UploadRules { max_bytes: u64::MAX, spool_dir: None, kept: None, received, pace }
}

fn chunks(count: usize) -> impl Stream<Item = Result<Bytes, ApiError>> + Unpin {
    futures_util::stream::iter((0..count).map(|i| Ok(Bytes::from(vec![i as u8; 64 << 10]))))
}

/// The bytes of an upload, and whether they are in memory.
fn bytes(upload: &Upload) -> (Vec<u8>, bool) {
    let Source::File { file, .. } = upload.source() else { panic!("expected a file") };
    let mut data = vec![0; file.metadata().unwrap().len() as usize];
    file.read_exact_at(&mut data, 0).unwrap();
    let path = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).unwrap();
    (data, path.to_string_lossy().starts_with("/memfd:"))
}

#[actix_web::test]
async fn a_small_upload_stays_in_memory_and_a_large_one_does_not() {
    for (count, expected) in [(3, true), (64, true), (100, false)] {
        let upload = spool(chunks(count), &rules()).await.unwrap();
        let (data, is_in_memory) = bytes(&upload);
        assert_eq!((data.len(), is_in_memory), (count * (64 << 10), expected));
        assert!((0..count).all(|i| data[i * (64 << 10)] == i as u8));
    }
}

#[actix_web::test]
async fn an_upload_that_trickles_is_ended_and_one_that_pauses_is_not() {
    // Chunks of so many bytes, each after so many milliseconds.
    let body = |chunks: &'static [(usize, u64)]| {
        let chunks = stream::iter(chunks).then(|(bytes, after_ms)| async move {
            tokio::time::sleep(Duration::from_millis(*after_ms)).await;
            Ok::<_, PayloadError>(Bytes::from(vec![0; *bytes]))
        });
        count(Box::pin(chunks), rules()).map_err(|error| body_error(&error, &rules()))
    };
    let trickle = spool(body(&[(1, 300), (1, 300), (1, 300), (1, 300), (1, 300)]), &rules()).await;
    assert!(matches!(trickle, Err(ApiError::SlowUpload { .. })), "{trickle:?}");
    let pauses = spool(body(&[(20, 300), (20, 300), (20, 300), (20, 300), (1, 10)]), &rules()).await;
    assert_eq!(bytes(&pauses.unwrap()).0.len(), 81);
}
