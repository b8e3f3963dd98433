// Package artifact is a stand-in for the module of the same path, which
// source-controller keeps its artifacts with and which cannot be had as a
// module. It has the functions that source-controller calls, written from
// those calls alone, and serves test clusters on one machine: there is no
// authentication and no limit to the size of an artifact.
package artifact
