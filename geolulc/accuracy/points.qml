{#
The style of a layer of sample points: markers by whether a reference is filled in, a form with the
class names to choose from, and no column that tells what the map says; ``point_files.py`` fills it
in. A symbol's settings stand twice: QGIS before 3.26 reads ``prop``, later ones read ``Option``.
#}
<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>
<qgis version="3.22.0" styleCategories="AllStyleCategories">
  <renderer-v2 type="RuleRenderer" symbollevels="0" enableorderby="0" forceraster="0">
    <rules key="all">
      {% for symbol in symbols %}
      <rule key="rule{{ loop.index0 }}" filter="{{ symbol.filter }}" symbol="{{ loop.index0 }}" label="{{ symbol.label }}" />
      {% endfor %}
    </rules>
    <symbols>
      {% for symbol in symbols %}
      <symbol type="marker" name="{{ loop.index0 }}" alpha="1" clip_to_extent="1" force_rhr="0">
        <layer class="SimpleMarker" enabled="1" locked="0" pass="0">
          <Option type="Map">
            {% for key, value in symbol.settings.items() %}
            <Option name="{{ key }}" type="QString" value="{{ value }}" />
            {% endfor %}
          </Option>
          {% for key, value in symbol.settings.items() %}
          <prop k="{{ key }}" v="{{ value }}" />
          {% endfor %}
        </layer>
      </symbol>
      {% endfor %}
    </symbols>
  </renderer-v2>
  <fieldConfiguration>
    {% for column in columns %}
    <field name="{{ column.name }}" configurationFlags="None">
      <editWidget type="{{ column.widget }}">
        <config>
          <Option type="Map">
            {% if column.widget == "ValueMap" %}
            <Option name="map" type="List">
              <Option type="Map"><Option name="(not yet)" type="QString" value="{{ null }}" /></Option>
              {% for name in classes %}
              <Option type="Map"><Option name="{{ name }}" type="QString" value="{{ name }}" /></Option>
              {% endfor %}
            </Option>
            {% elif column.widget == "TextEdit" %}
            <Option name="IsMultiline" type="bool" value="false" />
            {% endif %}
          </Option>
        </config>
      </editWidget>
    </field>
    {% endfor %}
  </fieldConfiguration>
  <aliases>
    {% for column in columns %}
    <alias index="{{ loop.index }}" field="{{ column.name }}" name="{{ column.title }}" />
    {% endfor %}
  </aliases>
  <editable>
    {% for column in columns %}
    <field name="{{ column.name }}" editable="{{ 1 if column.editable else 0 }}" />
    {% endfor %}
  </editable>
  <attributetableconfig actionWidgetStyle="dropDown" sortExpression="" sortOrder="0">
    <columns>
      {% for column in columns %}
      <column type="field" name="{{ column.name }}" hidden="{{ 1 if column.widget == "Hidden" else 0 }}" width="-1" />
      {% endfor %}
    </columns>
  </attributetableconfig>
  <previewExpression>"point"</previewExpression>
  <layerGeometryType>0</layerGeometryType>
</qgis>
