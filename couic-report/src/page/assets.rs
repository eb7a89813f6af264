//! Scripts and styles, compiled in. Their names contain a digest or a version, so browsers keep them.

use std::sync::LazyLock;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use warp::http::{HeaderMap, StatusCode, header};

use super::{
    origin,
    reply::{self, Answer},
};

struct Asset {
    /// The name below `/assets/`, without the digest.
    name: &'static str,
    kind: &'static str,
    bytes: &'static [u8],
}

const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

const ALL: [Asset; 6] = [
    Asset {
        name: "htmx.js",
        kind: SCRIPT,
        bytes: include_bytes!("../../assets/htmx-4.0.1.min.js"),
    },
    Asset {
        name: "uplot.js",
        kind: SCRIPT,
        bytes: include_bytes!("../../assets/uplot-1.6.32.iife.min.js"),
    },
    Asset {
        name: "uplot.css",
        kind: STYLE,
        bytes: include_bytes!("../../assets/uplot-1.6.32.min.css"),
    },
    Asset {
        name: "page.js",
        kind: SCRIPT,
        bytes: include_bytes!("../../assets/page.js"),
    },
    Asset {
        name: "page.css",
        kind: STYLE,
        bytes: include_bytes!("../../assets/page.css"),
    },
    Asset {
        name: "icon.svg",
        kind: "image/svg+xml",
        bytes: include_bytes!("../../assets/icon.svg"),
    },
];

/// The digest of each asset, as its entity tag and in its address.
static DIGESTS: LazyLock<[String; ALL.len()]> = LazyLock::new(|| {
    ALL.map(|asset| {
        let digest = Sha256::digest(asset.bytes);
        digest
            .iter()
            .take(8)
            .map(|byte| format!("{byte:02x}"))
            .collect()
    })
});

/// The address of an asset; a new version of it has another one.
pub(super) fn path(name: &str) -> String {
    let found = ALL
        .iter()
        .zip(DIGESTS.iter())
        .find(|(asset, _)| asset.name == name);
    let digest = found.map_or("", |(_, digest)| digest);
    format!("/assets/{digest}/{name}")
}

/// The asset at `/assets/{digest}/{name}`; None if there is none.
pub(super) fn answer(digest: &str, name: &str, headers: &HeaderMap) -> Option<Answer> {
    let mut all = ALL.iter().zip(DIGESTS.iter());
    let (asset, known) = all.find(|(asset, known)| asset.name == name && *known == digest)?;
    let tag = format!("\"{known}\"");
    let answer = if origin::text(headers, "if-none-match") == Some(&tag) {
        reply::with(StatusCode::NOT_MODIFIED, asset.kind, "")
    } else {
        reply::with(StatusCode::OK, asset.kind, Bytes::from_static(asset.bytes))
    };
    let answer = reply::and(answer, header::ETAG, &tag);
    Some(reply::and(
        answer,
        header::CACHE_CONTROL,
        "private, max-age=31536000, immutable",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// assets/README.md names where the files of others come from.
    #[test]
    fn the_vendored_files_are_those_of_the_record() {
        let record = include_str!("../../assets/README.md");
        for asset in ALL
            .iter()
            .filter(|asset| !asset.name.contains("page") && !asset.name.contains("icon"))
        {
            let digest: String = Sha256::digest(asset.bytes)
                .iter()
                .map(|b| format!("{b:02x}"))
                .collect();
            assert!(record.contains(&digest), "{} is {digest}", asset.name);
        }
    }

    #[test]
    fn assets_are_kept_and_revalidated() {
        let address = path("page.css");
        let mut parts = address.split('/').skip(2);
        let (digest, name) = (parts.next().unwrap(), parts.next().unwrap());
        let answer = answer(digest, name, &HeaderMap::new()).unwrap();
        assert_eq!(answer.status(), 200);
        let tag = answer.headers()[header::ETAG].clone();
        assert!(
            answer.headers()[header::CACHE_CONTROL]
                .to_str()
                .unwrap()
                .contains("immutable")
        );
        let again = HeaderMap::from_iter([(header::IF_NONE_MATCH, tag)]);
        assert_eq!(super::answer(digest, name, &again).unwrap().status(), 304);
        assert!(super::answer("0", name, &again).is_none());
        assert!(super::answer(digest, "none.css", &again).is_none());
    }
}
