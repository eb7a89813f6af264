//! The OpenAPI 3.1 document, generated from the route table and the types on the wire.

mod parameters;
mod refine;

use std::sync::LazyLock;

use couic_common::{
    ApiError, CONFIRM_ID_HEADER, CONFIRM_UNTIL_HEADER, CONFIRM_WITHIN_HEADER, CONFIRM_WITHIN_MAX,
    ErrorCode, ErrorDetail, Group,
};
use serde_json::Value;
use utoipa::openapi::{
    ComponentsBuilder, HttpMethod, InfoBuilder, OpenApi, OpenApiBuilder, PathsBuilder, Required,
    ResponsesBuilder,
    path::{
        Operation as PathOperation, OperationBuilder, Parameter, ParameterBuilder, ParameterIn,
        PathItem,
    },
    security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme},
};
use warp::http::StatusCode;

use super::{
    answer::{Answer, JSON, Outcome},
    call::Call,
    routes,
    shape::{Of, Query, Shape},
    table::{Access, Operation, Verb},
};
use crate::rbac::Right;
pub(super) use parameters::{
    ADDRESS_OR_NETWORK, ADDRESSES, ONE_TAG, POLICY, SHORT, SOME_TAGS, TAGS,
};
use refine::Mistake;

/// The documentation of an operation besides path, method and rights.
pub(super) struct Doc {
    pub(super) id: &'static str,
    pub(super) summary: &'static str,
    pub(super) query: &'static [Query],
    pub(super) body: Option<Shape>,
    /// The status of success.
    pub(super) status: u16,
    pub(super) answer: Shape,
    /// Other statuses with an answer of the same shape.
    pub(super) also: &'static [u16],
    /// Statuses of refusal besides those that every route with a token has.
    pub(super) errors: &'static [u16],
}

const SCHEME: &str = "token";

static DOCUMENT: LazyLock<Result<Vec<u8>, Mistake>> = LazyLock::new(|| {
    let document = document()?;
    serde_json::to_vec(&document).map_err(|error| Mistake::from(&error))
});

/// `GET /v1/openapi.json`.
pub(super) fn show(_call: &Call) -> Outcome {
    match &*DOCUMENT {
        Ok(document) => Ok(Answer::whole(StatusCode::OK, JSON, document.clone())),
        Err(error) => Err(super::error::Fault::internal(
            "writing the OpenAPI document",
            error,
        )),
    }
}

/// The document, indented, with a line feed at its end: `docs/openapi.json`.
///
/// # Errors
/// A bug in the document; a test finds it.
pub fn openapi_document() -> Result<String, Box<dyn std::error::Error>> {
    Ok(serde_json::to_string_pretty(&document()?)? + "\n")
}

fn document() -> Result<Value, Mistake> {
    let generated = serde_json::to_value(generated());
    let mut document = generated.map_err(|error| Mistake::from(&error))?;
    for path in routes::paths() {
        for operation in path.operations {
            let verb = operation.verb.as_str().to_ascii_lowercase();
            let place = (path.pattern, verb.as_str());
            let mut set = |name, schema| refine::parameter(&mut document, place, name, schema);
            for name in path.pattern.split('/').filter_map(variable) {
                set(name, refine::path_schema(name))?;
            }
            for query in operation.doc.query {
                set(query.name, query.schema)?;
            }
            if operation.confirmable {
                set(CONFIRM_WITHIN_HEADER, refine::CONFIRM_WITHIN)?;
            }
        }
    }
    refine::members(&mut document, &routes::TAGS)?;
    Ok(document)
}

fn generated() -> OpenApi {
    let info = InfoBuilder::new()
        .title("Couic")
        .version("1")
        .description(Some(
            "The REST API of the Couic eBPF firewall, over a Unix socket. Times are Unix seconds; an expiration of 0 \
             means never. Unknown JSON fields are ignored unless a schema forbids them. HEAD is served like GET.",
        ))
        .build();
    let mut paths = PathsBuilder::new();
    let mut schemas = Vec::new();
    for of in [
        Of::type_::<ApiError>(),
        Of::type_::<ErrorDetail>(),
        Of::type_::<ErrorCode>(),
    ] {
        (of.collect)(&mut schemas);
    }
    for (area, path) in routes::paths_by_area() {
        for operation in path.operations {
            let described = describe(area, path.pattern, operation);
            let item = PathItem::new(http_method(operation.verb), described);
            paths = paths.path(path.pattern, item);
            let Doc { body, answer, .. } = &operation.doc;
            for shape in body.iter().chain([answer]) {
                for of in shape.of() {
                    (of.collect)(&mut schemas);
                }
            }
        }
    }
    schemas.sort_by(|(a, _), (b, _)| a.cmp(b));
    schemas.dedup_by(|(a, _), (b, _)| a == b);
    let bearer = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
    let components = ComponentsBuilder::new()
        .schemas_from_iter(schemas)
        .security_scheme(SCHEME, bearer)
        .build();
    OpenApiBuilder::new()
        .info(info)
        .paths(paths.build())
        .components(Some(components))
        .build()
}

const fn http_method(verb: Verb) -> HttpMethod {
    match verb {
        Verb::Get => HttpMethod::Get,
        Verb::Post => HttpMethod::Post,
        Verb::Put => HttpMethod::Put,
        Verb::Delete => HttpMethod::Delete,
    }
}

fn describe(
    area: &'static str,
    pattern: &'static str,
    operation: &'static Operation,
) -> PathOperation {
    let Operation {
        access,
        doc,
        confirmable,
        scoped,
        run: _,
        verb,
    } = operation;
    let mut builder = OperationBuilder::new()
        .operation_id(Some(doc.id))
        .tag(routes::tag(area, pattern, operation.access))
        .summary(Some(doc.summary));
    for part in pattern.split('/').filter_map(variable) {
        builder = builder.parameter(path_parameter(part));
    }
    for query in doc.query {
        builder = builder.parameter(query.parameter());
    }
    if *confirmable {
        builder = builder.parameter(confirm_header());
    }
    if let Some(shape) = doc.body {
        builder = builder.request_body(Some(shape.request()));
    }
    let mut errors = doc.errors.to_vec();
    // A bad header, too many pending changes, or an undo record that cannot be written.
    for status in [400, 422, 503] {
        if *confirmable && !errors.contains(&status) {
            errors.push(status);
        }
    }
    if doc.body.is_some() {
        errors.push(415);
    }
    if !matches!(access, Access::Open) {
        errors.push(401);
    }
    if *verb != Verb::Get && may_have_limits(*access, *scoped) {
        errors.push(403);
    }
    builder = secured(builder, *access);
    errors.extend([500]);
    errors.sort_unstable();
    let Doc {
        status,
        answer: shape,
        ..
    } = *doc;
    let mut responses =
        ResponsesBuilder::new().response(status.to_string(), shape.response(status));
    for status in doc.also {
        responses = responses.response(status.to_string(), shape.response(*status));
    }
    for status in errors {
        let error = Shape::Json(Of::type_::<ApiError>());
        responses = responses.response(status.to_string(), error.response(status));
    }
    builder.responses(responses.build()).build()
}

/// Whether a client with limits gets past its group's rights, and may be refused by its limits.
fn may_have_limits(access: Access, scoped: bool) -> bool {
    match access {
        Access::Open => false,
        // Confirming changes no rules but the client's own.
        Access::Any => !scoped,
        Access::Rights(rights) => rights.iter().all(|right| right.is_of(Group::ClientRw)),
    }
}

/// Adds who may call the operation.
fn secured(builder: OperationBuilder, access: Access) -> OperationBuilder {
    if matches!(access, Access::Open) {
        return builder.securities(Some([]));
    }
    let none: [&str; 0] = [];
    let builder = builder.security(SecurityRequirement::new(SCHEME, none));
    let Access::Rights(rights) = access else {
        return builder;
    };
    let names: Vec<&str> = rights.iter().copied().map(right_name).collect();
    let text = format!("The client's group needs: {}.", names.join(", "));
    builder.description(Some(text))
}

const fn right_name(right: Right) -> &'static str {
    match right {
        Right::PolicyList => "policy list",
        Right::PolicyGet => "policy get",
        Right::PolicyCreate => "policy create",
        Right::PolicyDelete => "policy delete",
        Right::PolicyDeleteAll => "policy delete all",
        Right::PolicyPeer => "policy peer",
        Right::SetsList => "sets list",
        Right::SetsGet => "sets get",
        Right::SetsCreate => "sets create",
        Right::SetsDelete => "sets delete",
        Right::StatsList => "stats list",
        Right::StatsGet => "stats get",
        Right::Clients => "clients",
        Right::PeersList => "peers list",
        Right::PeersForget => "peers forget",
        Right::NotifiersList => "notifiers list",
        Right::NotifiersOperate => "notifiers operate",
        Right::Panic => "panic",
        Right::ConfirmAny => "confirm any",
        Right::LogRead => "log read",
    }
}

fn variable(part: &'static str) -> Option<&'static str> {
    part.strip_prefix('{')?.strip_suffix('}')
}

fn path_parameter(name: &'static str) -> Parameter {
    let text = match name {
        "policy" => "drop or ignore; case matters",
        "ip" => "an IPv4 or IPv6 address",
        "prefix" => "0 to 32, or 0 to 128; host bits of the address are masked",
        "confirmation" => "eight hexadecimal digits",
        "notifier" => "a notifier's name: 1 to 64 of A-Z a-z 0-9 _ - .",
        _ => "a name: 1 to 48 of A-Z a-z 0-9 _ -",
    };
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .description(Some(text))
        .build()
}

fn confirm_header() -> Parameter {
    ParameterBuilder::new()
        .name(CONFIRM_WITHIN_HEADER)
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(format!(
            "seconds after which the change is undone, 1 to {CONFIRM_WITHIN_MAX}, unless it is confirmed; the answer \
             has the headers {CONFIRM_ID_HEADER} and {CONFIRM_UNTIL_HEADER} then"
        )))
        .build()
}
