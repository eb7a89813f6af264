//! Crawlers that nobody wants to ban, and how to know them.
//!
//! Anybody can send their user agents, so before a source is banned whose agent claims one, its name is asked for
//! (reverse, and forward again). That is done elsewhere; here is which names are right. Operators say so themselves:
//! developers.google.com/search/docs/crawling-indexing/verifying-googlebot,
//! bing.com/webmasters/help/verify-bingbot, support.apple.com/119829, yandex.com/support/webmaster/robot-workings,
//! help.baidu.com/question?prod_id=99. Those of Google that users trigger (`gae.googleusercontent.com`) are left out:
//! customers of Google have names under that domain.

use std::sync::Arc;

use aho_corasick::{AhoCorasick, AhoCorasickBuilder};

use crate::BotsConfig;

/// Of an agent only so much is searched, in bytes.
const AGENT_BYTES: usize = 1_024;

/// Literals of agents, ends of names, and whether all addresses of the crawler have such names.
type Known = (&'static [&'static str], &'static [&'static str], bool);

const KNOWN: &[Known] = &[
    (
        &[
            "googlebot",
            "google-inspectiontool",
            "googleother",
            "adsbot-google",
            "mediapartners-google",
            "apis-google",
            "storebot-google",
        ],
        &[".googlebot.com", ".google.com"],
        true,
    ),
    (
        &["bingbot", "bingpreview", "adidxbot", "msnbot"],
        &[".search.msn.com"],
        true,
    ),
    (&["applebot"], &[".applebot.apple.com"], true),
    (
        &[
            "yandexbot",
            "yandeximages",
            "yandexmobilebot",
            "yandex.com/bots",
        ],
        &[".yandex.ru", ".yandex.net", ".yandex.com"],
        true,
    ),
    (&["baiduspider"], &[".baidu.com", ".baidu.jp"], true),
    (&["yahoo! slurp"], &[".crawl.yahoo.net"], true),
    (&["seznambot"], &[".seznam.cz"], true),
    (&["petalbot"], &[".petalsearch.com"], true),
    // These publish lists of addresses: no name, or another one, proves nothing.
    (
        &["duckduckbot", "duckassistbot"],
        &[".duckduckgo.com"],
        false,
    ),
    (
        &[
            "facebookexternalhit",
            "facebookcatalog",
            "meta-externalagent",
        ],
        &[".fbsv.net", ".facebook.com"],
        false,
    ),
    (&["linkedinbot"], &[".linkedin.com"], false),
    (&["twitterbot"], &[".twttr.com", ".twitter.com"], false),
    (&["pinterestbot"], &[".pinterest.com"], false),
];

/// What a source claims to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    /// The ends of the names of the crawler's addresses.
    pub(crate) names: Arc<[String]>,
    /// Whether an address without such a name is not the crawler's for sure.
    pub(crate) strict: bool,
}

/// All crawlers.
#[derive(Default)]
pub(crate) struct Bots {
    agents: Option<AhoCorasick>,
    claims: Vec<Claim>,
}

impl Bots {
    /// # Errors
    /// If the literals are too many; for the operator.
    pub(crate) fn new(config: &BotsConfig) -> Result<Self, String> {
        if !config.verify {
            return Ok(Self::default());
        }
        let mut agents = Vec::new();
        let mut claims = Vec::new();
        let owned = |list: &[&str]| list.iter().map(ToString::to_string).collect();
        let known = KNOWN
            .iter()
            .map(|(agents, names, strict)| (owned(agents), owned(names), *strict));
        let extra = config.extra.iter();
        let extra = extra.map(|bot| (bot.agent.clone(), bot.names.clone(), true));
        for (literals, names, strict) in extra.chain(known) {
            let claim = Claim {
                names: names.into(),
                strict,
            };
            claims.extend(literals.iter().map(|_| claim.clone()));
            agents.extend::<Vec<String>>(literals);
        }
        let automaton = AhoCorasickBuilder::new()
            .ascii_case_insensitive(true)
            .build(&agents)
            .map_err(|error| format!("the agents are too many: {error}"))?;
        Ok(Self {
            agents: Some(automaton),
            claims,
        })
    }

    /// The crawler that an agent claims to be.
    pub(crate) fn claimed(&self, agent: &[u8]) -> Option<&Claim> {
        let agent = agent.get(..AGENT_BYTES).unwrap_or(agent);
        let found = self.agents.as_ref()?.find(agent)?;
        self.claims.get(found.pattern().as_usize())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BotConfig;

    #[test]
    fn agents_claim_crawlers() {
        let extra = BotConfig {
            agent: vec!["ExampleBot".into()],
            names: vec![".example.org".into()],
        };
        let mut config = BotsConfig {
            verify: true,
            extra: vec![extra],
        };
        let bots = Bots::new(&config).unwrap();
        let name = |agent: &str| {
            let claim = bots.claimed(agent.as_bytes())?;
            Some((claim.names[0].clone(), claim.strict))
        };
        let google = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";
        assert_eq!(name(google), Some((".googlebot.com".into(), true)));
        assert_eq!(
            name("DuckDuckBot/1.1"),
            Some((".duckduckgo.com".into(), false))
        );
        assert_eq!(name("examplebot"), Some((".example.org".into(), true)));
        assert_eq!(name("curl/8"), None);
        assert_eq!(name(&("x".repeat(2_000) + "bingbot")), None);
        config.verify = false;
        assert!(Bots::new(&config).unwrap().claimed(b"bingbot").is_none());
    }
}
