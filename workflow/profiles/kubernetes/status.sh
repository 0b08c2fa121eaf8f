#!/bin/sh
# How far a job is, as Snakemake asks for it: success, failed (also: deleted by someone) or running.
state='{.metadata.name}{range .status.conditions[?(@.status=="True")]} {.type}{end}'
found=$(kubectl get job "$1" --ignore-not-found --output "jsonpath=$state") || found=unknown # no answer, for a while
case " $found " in
*" Complete "*) echo success ;;
*" Failed "* | "  ") echo failed ;;
*) echo running ;;
esac
