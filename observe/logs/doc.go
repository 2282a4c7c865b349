// Package logs makes slog loggers whose output is safe to read: one record is
// one line whatever is in it, secrets are marked instead of written, and the
// trace and span ids of the context stand at the top level of each record.
//
// Formats are JSON, JSON by the Elastic Common Schema, and tinted text for
// people; [Auto] takes the last on a terminal and JSON elsewhere. In tinted
// text, values that hold blanks, control characters or invalid UTF-8 are
// quoted; in JSON, control characters are escaped.
//
// A value is marked as a secret by its key (authorization, cookie, anything
// that ends in password, secret, token, api_key and the like, also inside
// structs and maps), by its type (the userinfo of a url.URL, the fields of an
// http.Header that are not known to be harmless), or by its text (userinfo in a
// URL, bearer and basic credentials, assignments such as password=x).
//
// A key given twice in one group is written once, with the last value; two
// groups of one name become one. Attributes named like a field of the record
// itself, such as msg, get the prefix "attr.".
package logs
