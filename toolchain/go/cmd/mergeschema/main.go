// Command mergeschema prints how kustomize merges a patch into an object of Kubernetes: the part of its built-in
// OpenAPI description that a merge looks at, as a schema for the field `openapi` of a kustomization.
//
// A merge asks for the fields of a value, the entries of a list, and the extensions that tell how a list is merged.
// Where there is no schema for a value that says which kind it is, it looks for the schema of that kind. So a field
// is cut off only below which no list is merged and nothing says its kind.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"sort"
	"strings"

	"k8s.io/kube-openapi/pkg/validation/spec"
	"sigs.k8s.io/kustomize/kyaml/openapi"
	"sigs.k8s.io/kustomize/kyaml/yaml"
)

const (
	kinds   = "x-kubernetes-group-version-kind"
	mention = "#/definitions/"
)

var merging = []string{"x-kubernetes-patch-strategy", "x-kubernetes-patch-merge-key", "x-kubernetes-list-map-keys"}

type schema map[string]any

type reducer struct {
	all     spec.Definitions
	matters map[string]bool
	used    map[string]bool
}

func main() {
	// Any kind makes it read the description.
	openapi.SchemaForResourceType(yaml.TypeMeta{APIVersion: "v1", Kind: "Pod"})
	r := reducer{all: openapi.Schema().Definitions, matters: map[string]bool{}, used: map[string]bool{}}
	for changed := true; changed; {
		changed = false
		for name, definition := range r.all {
			if !r.matters[name] && r.mattersIn(&definition) {
				r.matters[name], changed = true, true
			}
		}
	}
	kept := map[string]schema{}
	for name, definition := range r.all {
		if _, isKind := definition.Extensions[kinds]; isKind && builtin(name) {
			r.keep(name, kept)
		}
	}
	write(kept)
}

// builtin leaves out the kinds of kustomize itself, which it adds to any schema.
func builtin(name string) bool {
	return strings.HasPrefix(name, "io.k8s.")
}

func (r *reducer) keep(name string, kept map[string]schema) {
	if r.used[name] {
		return
	}
	r.used[name] = true
	definition := r.all[name]
	kept[name] = r.reduced(&definition, kept)
}

func (r *reducer) mattersIn(s *spec.Schema) bool {
	if name, ok := referred(s); ok {
		return r.matters[name]
	}
	for _, extension := range merging {
		if _, ok := s.Extensions[extension]; ok {
			return true
		}
	}
	_, saysKind := s.Properties["kind"]
	_, saysVersion := s.Properties["apiVersion"]
	if saysKind && saysVersion {
		return true
	}
	for _, property := range s.Properties {
		if r.mattersIn(&property) {
			return true
		}
	}
	return s.AdditionalProperties != nil && s.AdditionalProperties.Schema != nil && r.mattersIn(s.AdditionalProperties.Schema) ||
		s.Items != nil && s.Items.Schema != nil && r.mattersIn(s.Items.Schema)
}

func (r *reducer) reduced(s *spec.Schema, kept map[string]schema) schema {
	out := schema{}
	if name, ok := referred(s); ok {
		// It takes the place of all that stands beside it.
		if r.matters[name] {
			r.keep(name, kept)
			out["$ref"] = mention + name
		}
		return out
	}
	for _, extension := range append([]string{kinds}, merging...) {
		if value, ok := s.Extensions[extension]; ok {
			out[extension] = value
		}
	}
	properties := map[string]schema{}
	for name, property := range s.Properties {
		properties[name] = r.reduced(&property, kept)
	}
	if len(properties) > 0 && r.mattersIn(s) {
		out["properties"] = properties
	}
	if s.AdditionalProperties != nil && s.AdditionalProperties.Schema != nil && r.mattersIn(s.AdditionalProperties.Schema) {
		out["additionalProperties"] = r.reduced(s.AdditionalProperties.Schema, kept)
	}
	if s.Items != nil && s.Items.Schema != nil && r.mattersIn(s) {
		out["type"] = s.Type
		out["items"] = r.reduced(s.Items.Schema, kept)
	}
	return out
}

func referred(s *spec.Schema) (string, bool) {
	return strings.CutPrefix(s.Ref.String(), mention)
}

// write prints one definition a line, so that a difference is one that can be read.
func write(kept map[string]schema) {
	names := make([]string, 0, len(kept))
	for name := range kept {
		names = append(names, name)
	}
	sort.Strings(names)
	lines := make([]string, 0, len(names))
	for _, name := range names {
		var line bytes.Buffer
		encoder := json.NewEncoder(&line)
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(kept[name]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		lines = append(lines, fmt.Sprintf("%q:%s", name, strings.TrimSpace(line.String())))
	}
	fmt.Printf("{\"swagger\":\"2.0\",\"paths\":{},\"definitions\":{\n%s\n}}\n", strings.Join(lines, ",\n"))
}
