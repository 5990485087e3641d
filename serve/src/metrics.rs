//! What the service counts, in a registry of its own, as `GET /metrics` shows it.

use std::sync::{Arc, Mutex};

use prometheus::core::Collector;
use prometheus::process_collector::ProcessCollector;
use prometheus::{
    Encoder, Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};
use unscene_engine::{BatchRun, Timing, VideoSummary};

/// Bounds in seconds: from a health check to a ten-minute video on a small machine.
const SECONDS: &[f64] =
    &[0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0];

/// Bounds in clips: a batch of one, and what fills a GPU.
const CLIPS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];

/// The instruments. Cheap to clone: each is shared.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    /// Memory, threads, open files and time on the CPU of the service's own process, under the names that are usual.
    process: Arc<ProcessCollector>,
    /// Held by who reads the gauges that are kept elsewhere.
    pub scraping: Arc<Mutex<()>>,
    /// Requests answered, by `route` and `status`.
    pub requests: IntCounterVec,
    /// Seconds from the first byte of a request to the end of its answer, by `route`.
    pub request_seconds: HistogramVec,
    /// Seconds that a video's decoding and preprocessing took, by `model`; where several tasks share a decoder, with waiting for the
    /// slower ones.
    pub decode_seconds: HistogramVec,
    /// Seconds that a video's inference took, by `model`.
    pub inference_seconds: HistogramVec,
    /// Seconds that an uploaded video waited until it could be opened.
    pub wait_seconds: Histogram,
    /// Clips classified, windows localized, or frames looked at for actors, by `model`.
    pub clips: IntCounterVec,
    /// Bytes of body received.
    pub received_bytes: IntCounter,
    /// Requests whose client left before the end of the answer, or whose time ran out.
    pub cancelled: IntCounter,
    /// Requests being handled now, of any route.
    pub in_flight: IntGauge,
    /// Places taken in the service: uploads, waiting and decoding.
    pub admitted: IntGauge,
    /// Requests answered with a problem document, by `reason`: the end of the problem's `type`.
    pub rejected: IntCounterVec,
    /// Bundles loaded or found broken, by `model` and `result`.
    pub model_loads: IntCounterVec,
    /// Jobs `accepted`, `done`, `failed` and `deleted`, by `state`.
    pub jobs: IntCounterVec,
    /// Jobs that have not ended, with uploads that are not complete.
    pub jobs_waiting: IntGauge,
    /// Bytes of their videos.
    pub jobs_waiting_bytes: IntGauge,
    /// Videos that are sent while they are filmed, now.
    pub streams: IntGauge,
    /// Clips and frames of videos that came while they were filmed, `seen`, `dropped` and, of those seen, `untold`, by `fate`.
    pub stream_clips: IntCounterVec,
    /// Seconds from when a frame of such a video came to when it was known what is in it.
    pub stream_delay_seconds: Histogram,
    /// Processes that decoded and died, or took too long; each is replaced.
    pub worker_deaths: IntCounter,
    /// Videos that are open now.
    pub open_videos: IntGauge,
    /// Clips left of all requests.
    pub clips_left: IntGauge,
    /// Clips a second while there were any, of late.
    pub clips_per_second: Gauge,
    /// Clips waiting for a model's inference thread, by `model`.
    pub queue_depth: IntGaugeVec,
    /// Clips in a batch, by `model`.
    pub batch_clips: HistogramVec,
    /// Seconds that the first clips of a batch waited for it, by `model`.
    pub queue_seconds: HistogramVec,
    /// Seconds that a batch took, by `model`.
    pub batch_seconds: HistogramVec,
}

impl Metrics {
    /// Makes and registers the instruments.
    ///
    /// # Errors
    ///
    /// Only when a name is registered twice, which is a mistake in this file.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new_custom(Some("unscene".to_owned()), None)?;
        let counters = |name: &str, help: &str, labels: &[&str]| -> Result<IntCounterVec, prometheus::Error> {
            let made = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(made.clone()))?;
            Ok(made)
        };
        let counter = |name: &str, help: &str| -> Result<IntCounter, prometheus::Error> {
            let made = IntCounter::new(name, help)?;
            registry.register(Box::new(made.clone()))?;
            Ok(made)
        };
        let gauge = |name: &str, help: &str| -> Result<IntGauge, prometheus::Error> {
            let made = IntGauge::new(name, help)?;
            registry.register(Box::new(made.clone()))?;
            Ok(made)
        };
        let seconds = |name: &str, help: &str, label: &str| -> Result<HistogramVec, prometheus::Error> {
            let made = HistogramVec::new(HistogramOpts::new(name, help).buckets(SECONDS.to_vec()), &[label])?;
            registry.register(Box::new(made.clone()))?;
            Ok(made)
        };
        let wait_seconds = Histogram::with_opts(
            HistogramOpts::new("wait_seconds", "Time that an uploaded video waited until it could be opened.")
                .buckets(SECONDS.to_vec()),
        )?;
        registry.register(Box::new(wait_seconds.clone()))?;
        let stream_delay_seconds = Histogram::with_opts(
            HistogramOpts::new("stream_delay_seconds", "Time from a frame of a stream to what is seen in it.")
                .buckets(SECONDS.to_vec()),
        )?;
        registry.register(Box::new(stream_delay_seconds.clone()))?;
        let batch_clips = HistogramVec::new(
            HistogramOpts::new("batch_clips", "Clips in a batch; of a localizer, windows, and proposals.")
                .buckets(CLIPS.to_vec()),
            &["model"],
        )?;
        registry.register(Box::new(batch_clips.clone()))?;
        let clips_per_second = Gauge::new("clips_per_second", "Clips a second while there were any, of late.")?;
        registry.register(Box::new(clips_per_second.clone()))?;
        let queue_depth =
            IntGaugeVec::new(Opts::new("queue_depth", "Clips waiting for a model's inference thread."), &["model"])?;
        registry.register(Box::new(queue_depth.clone()))?;
        let build = IntGaugeVec::new(Opts::new("build_info", "Always 1; its labels say what runs."), &["version"])?;
        registry.register(Box::new(build.clone()))?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);

        // Those whose labels are few are there from the start, so that their rates are.
        let jobs = counters("jobs_total", "Jobs accepted, and ended, by state.", &["state"])?;
        for state in ["accepted", "done", "failed", "deleted"] {
            jobs.with_label_values(&[state]);
        }
        let help = "Clips and frames of streams: seen, dropped and, of those seen, not taken by the client.";
        let stream_clips = counters("stream_clips_total", help, &["fate"])?;
        for fate in ["seen", "dropped", "untold"] {
            stream_clips.with_label_values(&[fate]);
        }

        Ok(Self {
            requests: counters("requests_total", "Requests answered.", &["route", "status"])?,
            request_seconds: seconds("request_seconds", "Time from a request to the end of its answer.", "route")?,
            decode_seconds: seconds(
                "decode_seconds",
                "Time to decode and preprocess a video; of /v1/predict, with waiting for its slower tasks.",
                "model",
            )?,
            inference_seconds: seconds("inference_seconds", "Time to run the model on a video.", "model")?,
            wait_seconds,
            stream_delay_seconds,
            jobs_waiting: gauge("jobs_waiting", "Jobs that have not ended, with uploads that are not complete.")?,
            jobs_waiting_bytes: gauge("jobs_waiting_bytes", "Bytes of the videos of these jobs and uploads.")?,
            streams: gauge("streams", "Videos that are sent while they are filmed, now.")?,
            stream_clips,
            jobs,
            clips: counters(
                "clips_total",
                "Clips classified, windows localized, or frames looked at for actors.",
                &["model"],
            )?,
            received_bytes: counter("received_bytes_total", "Bytes of request body received.")?,
            cancelled: counter("cancelled_total", "Requests cancelled: the client left or the time ran out.")?,
            in_flight: gauge("in_flight_requests", "Requests being handled now.")?,
            admitted: gauge("admitted_requests", "Videos being uploaded, waiting or being decoded now.")?,
            open_videos: gauge("open_videos", "Videos that are open now.")?,
            clips_left: gauge("clips_left", "Clips, windows and frames left of all requests.")?,
            rejected: counters(
                "rejected_total",
                "Requests answered with a problem document, by the end of its type.",
                &["reason"],
            )?,
            worker_deaths: counter(
                "worker_deaths_total",
                "Processes that decoded and died, or took too long. Each is replaced.",
            )?,
            model_loads: counters("model_loads_total", "Bundles loaded, or found broken.", &["model", "result"])?,
            queue_seconds: seconds("queue_seconds", "Time that the first clips of a batch waited for it.", "model")?,
            batch_seconds: seconds("batch_seconds", "Time that a batch took.", "model")?,
            batch_clips,
            clips_per_second,
            queue_depth,
            scraping: Arc::default(),
            registry,
            process: Arc::new(ProcessCollector::for_self()),
        })
    }

    /// Counts a video that a model has looked at.
    pub fn count(&self, model: &str, video: &VideoSummary, timing: &Timing) {
        self.decode_seconds.with_label_values(&[model]).observe(timing.decode_s);
        self.inference_seconds.with_label_values(&[model]).observe(timing.inference_s);
        self.clips.with_label_values(&[model]).inc_by(video.clips as u64);
    }

    /// Counts a batch that a model has run.
    pub fn count_batch(&self, model: &str, run: BatchRun) {
        self.batch_clips.with_label_values(&[model]).observe(run.rows as f64);
        self.queue_seconds.with_label_values(&[model]).observe(run.waited.as_secs_f64());
        self.batch_seconds.with_label_values(&[model]).observe(run.inference.as_secs_f64());
    }

    /// The Prometheus text format, and its media type.
    ///
    /// # Errors
    ///
    /// When an instrument cannot be written as text.
    pub fn encode(&self) -> Result<(String, Vec<u8>), prometheus::Error> {
        let encoder = TextEncoder::new();
        let mut text = Vec::new();
        let mut all = self.registry.gather();
        all.extend(self.process.collect());
        encoder.encode(&all, &mut text)?;
        Ok((encoder.format_type().to_owned(), text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_has_the_build_and_what_was_counted() {
        let metrics = Metrics::new().unwrap();
        metrics.requests.with_label_values(&["/livez", "200"]).inc();
        let (_, text) = metrics.encode().unwrap();
        let text = String::from_utf8(text).unwrap();
        assert!(text.contains("unscene_build_info{version="), "{text}");
        let resident = text.lines().find_map(|line| line.strip_prefix("process_resident_memory_bytes ")).unwrap();
        assert!(resident.parse::<f64>().unwrap() > 1e6, "{resident}");
        assert!(text.contains("unscene_requests_total{route=\"/livez\",status=\"200\"} 1"), "{text}");
    }
}
