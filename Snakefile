include: "workflow/Snakefile"


# The default target of an included file counts only where that file is the Snakefile itself.
rule default:
    default_target: not IN_MODULE
    input:
        rules.all.input,
    message:
        f"Everything in {RESULTS}"
