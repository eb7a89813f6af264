//! Query parameters and bodies, as the route table declares them and the OpenAPI document describes them.

use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        ContentBuilder, Ref, RefOr, Required, ResponseBuilder, Schema,
        path::{Parameter, ParameterBuilder, ParameterIn},
        request_body::{RequestBody, RequestBodyBuilder},
        schema::{ArrayBuilder, ObjectBuilder, OneOfBuilder, Type},
    },
};
use warp::http::StatusCode;

use couic_httpd::Exposition;

use super::{
    answer::{EVENT_STREAM, JSON, NDJSON},
    body::LIST,
};

/// A query parameter.
pub(super) struct Query {
    pub(super) name: &'static str,
    pub(super) text: &'static str,
    pub(super) required: bool,
    /// Its JSON schema.
    pub(super) schema: &'static str,
}

/// A number that may be 0.
const NUMBER: &str = r#"{"type": "integer", "format": "int64", "minimum": 0}"#;

/// `true` or `false`.
const FLAG: &str = r#"{"type": "boolean", "default": false}"#;

/// A body.
#[derive(Clone, Copy)]
pub(super) enum Shape {
    Empty,
    Json(Of),
    Array(Of),
    /// A JSON array, or the same items as NDJSON.
    ArrayOrLines(Of),
    /// JSON, or a list of networks as text.
    JsonOrList(Of),
    /// JSON of one kind or the other, as the request asks.
    Either(Of, Of),
    /// JSON, or text for Prometheus.
    JsonOrMetrics(Of),
    /// Server-sent events: data are JSON of the one type, those of events with a type of their own of the other.
    Events(Of, Of),
    /// This document.
    OpenApi,
}

/// A type that has a schema.
#[derive(Clone, Copy)]
pub(super) struct Of {
    name: fn() -> String,
    pub(super) collect: fn(&mut Vec<(String, RefOr<Schema>)>),
}

impl Of {
    pub(super) const fn type_<T: ToSchema>() -> Self {
        Self {
            name: || T::name().into_owned(),
            collect: |schemas| {
                schemas.push((T::name().into_owned(), T::schema()));
                T::schemas(schemas);
            },
        }
    }

    fn reference(self) -> RefOr<Schema> {
        Ref::from_schema_name((self.name)()).into()
    }
}

impl Query {
    /// An optional parameter that is a text.
    pub(super) const fn new(name: &'static str, text: &'static str) -> Self {
        Self {
            name,
            text,
            required: false,
            schema: r#"{"type": "string"}"#,
        }
    }

    /// The same, which must not be missing.
    pub(super) const fn required(self) -> Self {
        Self {
            required: true,
            ..self
        }
    }

    /// The same, which is a number.
    pub(super) const fn number(self) -> Self {
        self.schema(NUMBER)
    }

    /// The same, which is true or false.
    pub(super) const fn flag(self) -> Self {
        self.schema(FLAG)
    }

    /// The same, with this JSON schema.
    pub(super) const fn schema(self, schema: &'static str) -> Self {
        Self { schema, ..self }
    }

    pub(super) fn parameter(&self) -> Parameter {
        let Self {
            name,
            text,
            required,
            schema: _,
        } = *self;
        let required = if required {
            Required::True
        } else {
            Required::False
        };
        ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Query)
            .required(required)
            .description(Some(text))
            .build()
    }
}

impl Shape {
    pub(super) fn of(self) -> impl Iterator<Item = Of> {
        let (one, other) = match self {
            Self::Empty | Self::OpenApi => (None, None),
            Self::Json(of)
            | Self::Array(of)
            | Self::ArrayOrLines(of)
            | Self::JsonOrList(of)
            | Self::JsonOrMetrics(of) => (Some(of), None),
            Self::Either(one, other) | Self::Events(one, other) => (Some(one), Some(other)),
        };
        one.into_iter().chain(other)
    }

    /// Content types with their schemas.
    fn contents(self) -> Vec<(&'static str, RefOr<Schema>)> {
        let array = |of: Of| -> RefOr<Schema> {
            RefOr::T(Schema::Array(
                ArrayBuilder::new().items(of.reference()).build(),
            ))
        };
        let text = || <String as PartialSchema>::schema();
        match self {
            Self::Empty => Vec::new(),
            Self::Json(of) => vec![(JSON, of.reference())],
            Self::Array(of) => vec![(JSON, array(of))],
            Self::ArrayOrLines(of) => vec![(JSON, array(of)), (NDJSON, of.reference())],
            Self::JsonOrList(of) => vec![(JSON, of.reference()), (LIST, text())],
            Self::Either(one, other) => {
                let both = OneOfBuilder::new()
                    .item(one.reference())
                    .item(other.reference());
                vec![(JSON, RefOr::T(Schema::OneOf(both.build())))]
            }
            Self::JsonOrMetrics(of) => vec![
                (JSON, of.reference()),
                (Exposition::OpenMetrics.content_type(), text()),
                (Exposition::Text.content_type(), text()),
            ],
            Self::Events(..) => vec![(EVENT_STREAM, text())],
            Self::OpenApi => {
                let object = ObjectBuilder::new().schema_type(Type::Object).build();
                vec![(JSON, RefOr::T(Schema::Object(object)))]
            }
        }
    }

    pub(super) fn request(self) -> RequestBody {
        let mut builder = RequestBodyBuilder::new().required(Some(Required::True));
        for (kind, schema) in self.contents() {
            builder = builder.content(kind, ContentBuilder::new().schema(Some(schema)).build());
        }
        builder.build()
    }

    pub(super) fn response(self, status: u16) -> RefOr<utoipa::openapi::Response> {
        let reason = StatusCode::from_u16(status)
            .ok()
            .and_then(|s| s.canonical_reason());
        let mut builder = ResponseBuilder::new().description(reason.unwrap_or_default());
        for (kind, schema) in self.contents() {
            builder = builder.content(kind, ContentBuilder::new().schema(Some(schema)).build());
        }
        builder.build().into()
    }
}
