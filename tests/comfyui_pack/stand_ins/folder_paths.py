"""ComfyUI's folders, as far as the nodes' lists ask for them."""

models_dir = "/models"
folder_names_and_paths: dict = {}


def get_output_directory() -> str:
    return "/output"


def get_filename_list(name: str) -> list[str]:
    return ["example.safetensors"] if name in folder_names_and_paths else []
