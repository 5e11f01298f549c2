"""A network of one's own, as the documentation shows it, in a whole study."""

from __future__ import annotations

import pandas as pd
from conftest import Checkout, documented_example

from pipeline_src.config.runtimes import is_installed


def test_the_documented_network_from_outside_the_package_is_studied(fresh: Checkout) -> None:
    page = "add-a-network.md"
    package = fresh.root / "my_networks"
    package.mkdir()
    (package / "__init__.py").touch()
    module = package / "dilated.py"
    module.write_text(documented_example('"""Cascades of convolutions', page))
    example = documented_example("networks:", page)
    runtimes = [name for name in ("onnxruntime",) if is_installed(name)]
    evaluation = {"evaluation": {"runtimes": runtimes}}
    fresh.configure(example, {"methods": {"at": {}}, "controls": []}, evaluation)

    # A look runs nothing of the module; told to, it looks at the options too.
    looked = fresh.command("check", "--config", "tiny.yaml")
    assert looked.returncode == 0, looked.stderr
    assert f"network teacher: {module}, which a run imports" in looked.stdout
    wrong = ["--set", "networks.teacher.options.dilatation=4"]
    refused = fresh.command("check", "--config", "tiny.yaml", "--import", *wrong)
    assert refused.returncode == 2
    assert "options.dilatation: no such option; did you mean 'dilation'?" in refused.stderr
    planned = fresh.tiny("-n", "--config", "networks={teacher: {options: {dilatation: 4}}}")
    assert planned.returncode != 0
    assert "did you mean 'dilation'?" in planned.stdout + planned.stderr

    done = fresh.tiny()
    assert done.returncode == 0, done.stdout + done.stderr
    results = fresh.root / "results/tiny"
    cost = pd.read_csv(results / "cost.csv").set_index("network")
    # 3 x (9 x (8 + 64 + 8) weights and 8 + 8 + 1 biases).
    assert cost.loc["teacher", "parameters"] == 3 * (9 * (8 + 64 + 8) + 17)
    assert cost.loc["teacher", "convolution_multiply_adds_a_slice"] == 3 * 9 * 80 * 32 * 32
    assert cost.loc["teacher", "architecture"] == "dilated C3 (dilation 3, features 8)"
    page_text = (results / "report.html").read_text()
    assert "3 cascades of 3 convolutions with 8 features, the second dilated by 3" in page_text
    assert list((results / "figures").glob("networks.*"))
    teacher = "results/tiny/heart/4x/seed0/teacher"
    words = ["bundle", teacher, "--import", "my_networks.dilated"]
    if runtimes:
        measured = pd.read_csv(results / "runtimes.csv")
        assert set(measured["runtime"]) == {"torch", "onnxruntime"}
        assert set(measured["architecture"]) == {"dilated C3 (dilation 3, features 8)", "D3C3"}
        assert fresh.command(*words, "--output", "teacher").returncode == 0
        assert "model.onnx" in (fresh.root / "teacher/README.md").read_text()

    module.write_text(module.read_text() + "\nEDITED = 1\n")
    trainings = [p for p in fresh.planned() if p.startswith("Training")]
    assert trainings == [
        "Training sft_kd_at: heart 4x seed 0",
        "Training sft_teacher: heart 4x seed 0",
        "Training std_kd_at: heart 4x seed 0",
        "Training teacher: heart 4x seed 0",
    ]
    refused = fresh.command(*words, "--output", "again")
    assert refused.returncode == 2
    assert f"{module}: has changed since {teacher}" in refused.stderr
