//! Golden vectors of the Lookahead optimizer, as JSON text that is compiled in.
//!
//! ```
//! let text = lookahead_golden_vectors::file("wrapper.json").unwrap();
//! assert!(text.contains("\"cases\""));
//! assert_eq!(lookahead_golden_vectors::from_bits("3ff0000000000000"), Some(1.0));
//! ```
#![no_std]

/// Every file, by its name: `index.json` lists those of cases.
pub const FILES: &[(&str, &str)] = &[
{{files}}
];

/// The text of one file.
pub fn file(name: &str) -> Option<&'static str> {
    FILES.iter().find(|(each, _)| *each == name).map(|(_, text)| *text)
}

/// From the 16 hexadecimal digits of a binary64 number.
pub fn from_bits(text: &str) -> Option<f64> {
    u64::from_str_radix(text, 16).ok().map(f64::from_bits)
}
