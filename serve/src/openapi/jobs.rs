//! Jobs, and videos that come in parts.

use utoipa::IntoParams;
use utoipa::openapi::path::{HttpMethod, OperationBuilder, ParameterIn};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{Content, Required, Response};

use super::parts::{BYTES, binary, header, in_header, in_path, in_query, text, timeout, video};
use super::{Description, OF_VIDEOS};
use crate::params::{PredictParams, StreamParams};
use crate::routes::jobs::{JobInfo, JobList, ListParams};
use crate::routes::stream::StreamEvent;
use crate::routes::uploads::{PART, RESUMABLE, VERSION};
use crate::routes::{EVENTS, JSON};

impl Description {
    /// The routes of jobs.
    pub(super) fn jobs(&mut self) {
        let params = PredictParams::into_params(|| Some(ParameterIn::Query));
        let location = header("Where the job is", Type::String);
        let accepted = Response::builder().description("It is kept and waits").content(JSON, self.schema::<JobInfo>());
        let mut body = video(&params);
        body.required = Some(Required::False);
        let submit = OperationBuilder::new()
            .operation_id(Some("submit_job"))
            .summary(Some("What models of several tasks say of a video, looked at when there is room"))
            .request_body(Some(body))
            .parameters(Some(params))
            .parameter(in_query(
                "url",
                "Where the video is fetched from, instead of a body: from hosts that the operator names",
            ))
            .parameter(timeout())
            .response("202", accepted.header("Location", location));
        let submit = self.failures(submit, OF_VIDEOS);
        self.add("/v1/jobs", HttpMethod::Post, submit);
        let list = self.answers::<JobList>(
            "jobs",
            "The jobs of the API key, the latest first",
            &["400", "401", "403", "404", "429", "500"],
        );
        let list = list.parameters(Some(ListParams::into_params(|| Some(ParameterIn::Query))));
        self.add("/v1/jobs", HttpMethod::Get, list);
        let (found, id) = (&["401", "403", "404", "429", "500"], || in_path("id", "The job's name"));
        let job = self.answers::<JobInfo>("job", "A job, and what came of it", found);
        self.add("/v1/jobs/{id}", HttpMethod::Get, job.parameter(id()));
        let gone = Response::builder().description("It is forgotten; if it was worked on, that stops");
        let delete = OperationBuilder::new()
            .operation_id(Some("delete_job"))
            .summary(Some("Forgets a job"))
            .parameter(id())
            .response("204", gone);
        let delete = self.failures(delete, found);
        self.add("/v1/jobs/{id}", HttpMethod::Delete, delete);
        let events =
            text("job_events", "The job whenever it has changed, until it has ended, as server-sent events", EVENTS);
        let last = in_header(
            "Last-Event-ID",
            "The name of the last event that the client has seen",
            ObjectBuilder::new().schema_type(Type::String),
        );
        let heard = Response::builder().description("It has ended, and the client has seen how");
        let events = self.failures(events, found).parameter(id()).parameter(last).response("204", heard);
        self.add("/v1/jobs/{id}/events", HttpMethod::Get, events);
    }

    /// Videos that are sent while they are filmed.
    pub(super) fn stream(&mut self) {
        let body = RequestBodyBuilder::new()
            .description(Some("A video that needs no seeking: fragmented MP4, WebM, Matroska or MPEG-TS"))
            .required(Some(Required::True))
            .content("video/webm", Content::new(Some(binary())))
            .content(BYTES, Content::new(Some(binary())));
        // Named by the text: what an event's data is can be said by its media type alone.
        drop(self.schema::<StreamEvent>());
        let data = ObjectBuilder::new()
            .schema_type(Type::String)
            .content_media_type(JSON)
            .description(Some("A StreamEvent as JSON; the event has the name of its member"));
        let names = ["clip", "frame", "summary", "error"];
        let event = ObjectBuilder::new()
            .property("event", ObjectBuilder::new().schema_type(Type::String).enum_values(Some(names)))
            .property("data", data)
            .required("event")
            .required("data");
        let told = Response::builder().description("What is seen, as server-sent events");
        let told = told.content(EVENTS, Content::new(Some(event)));
        let stream = OperationBuilder::new()
            .operation_id(Some("stream"))
            .summary(Some("What is seen in a video while it is sent"))
            .parameters(Some(StreamParams::into_params(|| Some(ParameterIn::Query))))
            .request_body(Some(body.build()))
            .response("200", told);
        let stream = self.failures(stream, OF_VIDEOS);
        self.add("/v1/stream", HttpMethod::Post, stream);
    }

    /// The routes of the tus protocol.
    pub(super) fn uploads(&mut self) {
        let version = || {
            let schema = ObjectBuilder::new().schema_type(Type::String).enum_values(Some([VERSION]));
            in_header(RESUMABLE, "Version of the tus protocol", schema)
        };
        let bytes = || ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0.0));
        let of = |id: &str, summary: &str, status: &str, response: Response| {
            OperationBuilder::new().operation_id(Some(id)).summary(Some(summary)).response(status, response)
        };
        let response = |description: &str, headers: Vec<Told>| {
            let headers = [told(RESUMABLE, "1.0.0", Type::String)].into_iter().chain(headers);
            let response = Response::builder().description(description);
            headers.fold(response, |response, (name, header)| response.header(name, header)).build()
        };
        let offset = || told("Upload-Offset", "Bytes that have come", Type::Integer);
        let length = || told("Upload-Length", "Size of the video", Type::Integer);
        let expires = || told("Upload-Expires", "When it is forgotten, if nothing more comes", Type::String);
        let job = || told("Content-Location", "The job, when all has come", Type::String);
        let begun = response("It may come", vec![told("Location", "Where to", Type::String), expires()]);
        let params = PredictParams::into_params(|| Some(ParameterIn::Query));
        let create = of(
            "create_upload",
            "Begins a video that comes in parts (tus), and is a job when it is complete",
            "201",
            begun,
        )
        .parameters(Some(params))
        .parameter(version())
        .parameter(
            in_header("Upload-Length", "Size of the video", bytes().minimum(Some(1.0))).required(Required::True),
        );
        let create = self.failures(create, &["400", "401", "403", "404", "412", "413", "429", "500", "503"]);
        self.add("/v1/uploads", HttpMethod::Post, create);
        let known = vec![
            told("Tus-Version", "Versions", Type::String),
            told("Tus-Extension", "Extensions", Type::String),
            told("Tus-Max-Size", "Largest video", Type::Integer),
        ];
        let options = of("upload_options", "What there is of the tus protocol", "204", response("Done", known));
        let options = self.failures(options, &["401", "403", "404", "429", "500"]);
        self.add("/v1/uploads", HttpMethod::Options, options);

        let id = || in_path("id", "The upload's name");
        let at = response("So far", vec![offset(), length(), expires(), job()]);
        let head = of("upload", "How much of a video has come", "200", at).parameter(id()).parameter(version());
        let head = self.failures(head, &["401", "403", "404", "412", "429", "500"]);
        self.add("/v1/uploads/{id}", HttpMethod::Head, head);
        let body = RequestBodyBuilder::new().required(Some(Required::True)).content(PART, Content::new(Some(binary())));
        let came = response("It has come", vec![offset(), expires(), job()]);
        let append = of("append_upload", "Brings the next part", "204", came)
            .parameter(id())
            .parameter(version())
            .parameter(timeout())
            .parameter(in_header("Upload-Offset", "Where it begins", bytes()).required(Required::True))
            .request_body(Some(body.build()));
        let failures = [OF_VIDEOS, &["409", "412", "423"]].concat();
        let append = self.failures(append, &failures);
        self.add("/v1/uploads/{id}", HttpMethod::Patch, append);
        let gone = response("It is forgotten", vec![]);
        let delete = of("delete_upload", "Forgets a video that has not come in full", "204", gone)
            .parameter(id())
            .parameter(version());
        let delete = self.failures(delete, &["401", "403", "404", "412", "429", "500"]);
        self.add("/v1/uploads/{id}", HttpMethod::Delete, delete);
    }
}

/// A header of an answer, and its name.
type Told = (&'static str, utoipa::openapi::header::Header);

fn told(name: &'static str, description: &str, kind: Type) -> Told {
    (name, header(description, kind))
}
